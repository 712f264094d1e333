"""A machine that is fit for whatever the model wants of it."""

import stub_notes

__virtualname__ = "preflight"


def __virtual__():
    return __virtualname__


def stamp():
    """As of the test's master."""
    return stub_notes.told(__opts__)["stamp"]


def check(now):
    """Facts as the real ``preflight.check`` gives them."""
    cloud = __pillar__["cloud"]
    number = sorted(cloud["hosts"]).index(cloud["node"])
    interfaces = {
        name: {"mac": f"02:00:00:00:0{index}:{number:02x}", "mtu": 1500, "addresses": []}
        for index, name in enumerate(("eth0", "eth1", "eth2"))
    }
    interfaces["eth0"]["addresses"] = [cloud["addresses"]["management"]]
    if "tunnel" in cloud["addresses"]:
        interfaces["eth1"]["addresses"] = [cloud["addresses"]["tunnel"]]
    return {
        "os": {"id": "debian", "version": "13"},
        "systemd": True,
        "container": False,
        "salt": "3008.3",
        "python": "3.13.5",
        "hostname": cloud["node"],
        "machine_id": f"id-{cloud['node']}",
        "memory": 32000,
        "disk": {"/": 90000, "/var/lib": 90000},
        "clock": {"offset": 0.0, "synchronised": True},
        "interfaces": interfaces,
        "resolved": {},
        "reverse": {},
        "listeners": [],
        "running": [],
        "vip_answers": {},
        "dpkg": {"holder": None, "interrupted": False},
        "digest": cloud["digest"],
        "stamp": stub_notes.told(__opts__)["stamp"],
    }
