"""
The test of a deployment: every API answers, and an instance gets what a guest needs.

What it makes has names that start with ``saltern-validate-``; it is removed at the end, and before
the start in case an earlier run was killed.
"""

import contextlib
import ipaddress
import pathlib
import time
import uuid

import saltern_sdk
from salt.exceptions import CommandExecutionError
from saltern import validation

__virtualname__ = "cloud_validation"

POLL = 1.0  # seconds between two looks at an instance
READ_TIMEOUT = 20  # seconds for one read of an API
CLEANUP_TIMEOUT = 90  # seconds until what was removed must be gone
ASK_AGAIN = 15  # seconds after which a removal that is accepted and not seen is asked for again

#: Reserved for benchmarks (RFC 2544): nobody routes it.
SUBNET = ipaddress.ip_network("198.18.77.0/24")


def __virtual__():
    return __virtualname__


class _Report:
    """The checks so far; a check that fails does not stop the next one."""

    def __init__(self):
        self.checks = []

    def add(self, name, ok, detail, since):
        seconds = round(time.monotonic() - since, 1)
        self.checks.append({"name": name, "ok": ok, "seconds": seconds, "detail": detail})

    @contextlib.contextmanager
    def step(self, name):
        """Around work that fails by raising. Yields a list for words about what was found."""
        since, words = time.monotonic(), []
        try:
            yield words
        except _errors() as exc:
            self.add(name, False, f"{exc}" or type(exc).__name__, since)
            raise _Stop from exc
        self.add(name, True, " ".join(words) or "ok", since)


class _Stop(Exception):
    """What comes next makes no sense any more; the reason is in the report."""


def _errors():
    return (*saltern_sdk.errors(), OSError)


def run(image="/usr/share/saltern/canary.raw", timeout=300, hosts=None, tidy=True, router=True):
    """
    Validate the cloud from this node, with real tokens, through the virtual addresses.

    image
        Raw disk of the canary: a path on this node, or ``salt://...`` on the master's file server.

    timeout
        Seconds that an instance may take from being asked for to having said everything.

    hosts
        Computes that get an instance each: a list, or ``all``. Default: one, wherever it fits.

    tidy
        False leaves what was made where all is well, to be removed by :func:`clean`: for who waits
        for the verdict.

    router
        False leaves out the router of the instance's network: for who asks about a host only.

    Returns ``{ok: True, checks: [{name, ok, seconds, detail}, ...]}``. Raises CommandExecutionError
    with the first failures when a check fails; then everything is removed in any case.

    CLI Example:

    .. code-block:: bash

        salt ctl1 cloud_validation.run hosts=all
    """
    try:
        conn = saltern_sdk.connect(__pillar__)
    except (LookupError, ImportError) as exc:
        raise CommandExecutionError(str(exc)) from exc
    report = _Report()
    with conn:
        try:
            with report.step("token"):
                conn.authorize()
            _apis(conn, report)
            with report.step("nothing left of an earlier run") as words:
                words.append(_clean(conn))
            try:
                with contextlib.suppress(_Stop):
                    _instances(conn, report, image, timeout, hosts, router)
            finally:
                if tidy or not validation.verdict(report.checks):
                    with report.step("everything removed") as words:
                        words.append(_clean(conn))
        except _Stop:
            pass
    if not validation.verdict(report.checks):
        raise CommandExecutionError(
            f"{validation.complaint(report.checks)}; next: salt '*' openstack.health"
        )
    return {"ok": True, "checks": report.checks}


def clean():
    """
    Remove what a validation that was killed has left behind.

    Returns what was removed, in words. Raises CommandExecutionError when something stays.

    CLI Example:

    .. code-block:: bash

        salt ctl1 cloud_validation.clean
    """
    try:
        with saltern_sdk.connect(__pillar__) as conn:
            return _clean(conn)
    except (LookupError, ImportError, *_errors()) as exc:
        raise CommandExecutionError(f"validation's leftovers: {exc}") from exc


# -- APIs ----------------------------------------------------------------------------------------


def _apis(conn, report):
    """One read of each entry of the catalogue, at each of its URLs."""
    catalog = conn.session.auth.get_access(conn.session).service_catalog.catalog
    seen = set()
    for entry in sorted(catalog, key=lambda entry: entry["type"]):
        for endpoint in entry["endpoints"]:
            url = validation.read_url(entry["type"], endpoint["url"])
            if endpoint["region"] != conn.config.region_name or url in seen:
                continue
            seen.add(url)
            since = time.monotonic()
            try:
                answer = conn.session.get(url, timeout=READ_TIMEOUT, raise_exc=False)
                ok, detail = answer.status_code < 300, f"{answer.status_code} {url}"  # noqa: PLR2004
                if entry["type"] not in validation.READS:
                    ok = answer.status_code < 500  # unknown API: it answers  # noqa: PLR2004
            except _errors() as exc:
                ok, detail = False, f"{url}: {exc}"
            report.add(f"{entry['type']} API ({endpoint['interface']})", ok, detail, since)


# -- instances -----------------------------------------------------------------------------------


def _file(image):
    """Path of ``image`` on this node; OSError says what is missing."""
    path = image
    if image.startswith("salt://"):
        path = __salt__["cp.cache_file"](image)
        if not path:
            raise FileNotFoundError(f"the master's file server has no {image}")
    pathlib.Path(path).stat()
    return path


def _instances(conn, report, image, timeout, hosts, router):
    wanted = __pillar__["cloud"]["values"]["nova"]["validation"]
    name = f"{validation.PREFIX}{uuid.uuid4().hex[:8]}"
    with report.step("image upload"):
        disk = conn.image.create_image(
            name=name,
            filename=_file(image),
            disk_format="raw",
            container_format="bare",
            visibility="private",
        )
    with report.step("network") as words:
        network, routed = _network(conn, name, wanted, router)
        words.append("with a router" if routed else "without a router")
    with report.step("flavor"):
        flavor = conn.compute.create_flavor(name=name, ram=128, vcpus=1, disk=1)
    with report.step("hosts") as words:
        chosen = _hosts(conn, hosts)
        words.append(", ".join(chosen) if hosts else "any")
    since = time.monotonic()
    servers = {}
    for host in chosen:
        label = f"instance on {host}" if host else "instance"
        with report.step(f"{label}: asked for"):
            servers[label] = conn.compute.create_server(
                name=f"{name}-{host}" if host else name,
                image_id=disk.id,
                flavor_id=flavor.id,
                networks=[{"uuid": network.id}],
                **({"availability_zone": f"nova:{host}"} if host else {}),
            )
    for label, server in servers.items():
        with contextlib.suppress(_Stop):  # one that fails says nothing of the others
            _watch(conn, report, label, server, since, timeout, routed)


def _network(conn, name, wanted, router):
    """A network to plug an instance into, and whether it has a router of ours."""
    subnet = {"name": name, "ip_version": 4, "cidr": str(SUBNET)}
    if wanted["routed"] and not router:
        network = conn.network.create_network(name=name)
        conn.network.create_subnet(network_id=network.id, gateway_ip=None, **subnet)
        return network, False
    if wanted["routed"]:
        network = conn.network.create_network(name=name)
        subnet = conn.network.create_subnet(network_id=network.id, **subnet)
        router = conn.network.create_router(name=name)
        conn.network.add_interface_to_router(router, subnet_id=subnet.id)
        return network, True
    import openstack.exceptions

    for physical in wanted["physical_networks"]:
        try:
            network = conn.network.create_network(
                name=name, provider_network_type="flat", provider_physical_network=physical
            )
        except openstack.exceptions.ConflictException:  # in use: then by a network for instances
            for network in conn.network.networks(provider_physical_network=physical):
                if any(s.is_dhcp_enabled for s in conn.network.subnets(network_id=network.id)):
                    return network, False
            continue
        conn.network.create_subnet(network_id=network.id, gateway_ip=None, **subnet)
        return network, False
    raise openstack.exceptions.SDKException(
        "no network for instances: routing is external, and no provider network of the model is"
        " free or has a subnet with DHCP"
    )


def _hosts(conn, hosts):
    """Computes to try; [None] leaves the choice to the scheduler."""
    if not hosts:
        return [None]
    if hosts != "all":
        return [hosts] if isinstance(hosts, str) else list(hosts)
    found = conn.compute.services(binary="nova-compute")
    return sorted(s.host for s in found if s.state == "up" and s.status == "enabled")


def _watch(conn, report, label, server, since, timeout, routed):
    deadline = since + timeout
    with report.step(f"{label}: active") as words:
        server = _until_active(conn, server, deadline)
        words.append(f"on {server.compute_host}")
    address = next(
        (a["addr"] for found in (server.addresses or {}).values() for a in found), "none"
    )
    said = {}
    while not validation.finished(said) and time.monotonic() < deadline:
        said = validation.console(_console(conn, server))
        if not validation.finished(said):
            time.sleep(POLL)
    for name, ok, detail in validation.instance_checks(said, address, routed=routed):
        report.add(f"{label}: {name}", ok, detail, since)


def _until_active(conn, server, deadline):
    while True:
        server = conn.compute.get_server(server.id)
        if server.status == "ACTIVE":
            return server
        if server.status == "ERROR":
            fault = getattr(server, "fault", None) or {}
            raise OSError(f"ERROR: {fault.get('message', 'without a reason')}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {server.status} ({server.task_state})")
        time.sleep(POLL)


def _console(conn, server):
    """The console's text; empty while there is none."""
    import openstack.exceptions

    try:
        return conn.compute.get_server_console_output(server.id).get("output") or ""
    except (openstack.exceptions.NotFoundException, openstack.exceptions.ConflictException):
        return ""


# -- removal -------------------------------------------------------------------------------------


def _leftovers(conn):
    """Everything with a validation's name, by kind, in an order in which it can be removed."""
    kinds = {
        "server": lambda: conn.compute.servers(details=False),
        "router": conn.network.routers,
        "network": conn.network.networks,
        "flavor": lambda: conn.compute.flavors(details=False),
        "image": conn.image.images,
    }
    return {
        kind: [item for item in every() if (item.name or "").startswith(validation.PREFIX)]
        for kind, every in kinds.items()
    }


def _clean(conn):
    """Remove everything with a validation's name and look again until it is gone."""
    removed, asked = {}, {}
    deadline = time.monotonic() + CLEANUP_TIMEOUT
    failure = None
    while True:
        left = {kind: items for kind, items in _leftovers(conn).items() if items}
        if not left:
            return ", ".join(f"{len(ids)} {kind}" for kind, ids in removed.items()) or "nothing"
        if time.monotonic() > deadline:
            names = ", ".join(f"{kind} {item.name}" for kind in left for item in left[kind])
            raise TimeoutError(f"still there: {names}{f' ({failure})' if failure else ''}")
        for kind, items in left.items():
            for item in items:
                removed.setdefault(kind, set()).add(item.id)
                # Nova works through every request for a removal, also when it is at it already.
                if time.monotonic() < asked.get(item.id, 0.0) + ASK_AGAIN:
                    continue
                refused = _remove(conn, kind, item)
                if refused is None:
                    asked[item.id] = time.monotonic()
                failure = refused or failure
            if kind == "server":
                break  # ports go with their servers; networks have to wait for that
        time.sleep(POLL)


def _remove(conn, kind, item):
    """Ask for the removal of one thing; returns why that failed, to be tried again."""
    try:
        if kind == "server":
            conn.compute.delete_server(item.id, force=False)
        elif kind == "router":
            for port in conn.network.ports(device_id=item.id):
                conn.network.remove_interface_from_router(item.id, port_id=port.id)
            conn.network.delete_router(item.id)
        elif kind == "network":
            conn.network.delete_network(item.id)
        elif kind == "flavor":
            conn.compute.delete_flavor(item.id)
        else:
            conn.image.delete_image(item.id)
    except _errors() as exc:
        return exc
    return None
