"""A small cloud behind the SDK: what is made stays until it is removed, and instances speak."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import openstack.exceptions

ADDRESS = "198.18.77.5"
GOOD = (
    f"SALTERN CANARY UP {ADDRESS}\nSALTERN CANARY GATEWAY OK 198.18.77.1\n"
    "SALTERN CANARY METADATA OK name\nSALTERN CANARY READY 3s\n"
)
KINDS = ("server", "router", "network", "flavor", "image")


class FakeCloud:
    """Keeps what is created until it is deleted; a server starts and speaks after one look."""

    def __init__(self) -> None:
        self.compute = self.network = self.image = self
        self.config = SimpleNamespace(region_name="RegionOne")
        self.items: dict[str, list[Any]] = {kind: [] for kind in KINDS}
        self.made = 0
        self.said = GOOD
        self.status = "ACTIVE"
        self.api_status = 200
        self.login: Exception | None = None
        self.sticky: set[str] = set()
        self.asked: list[dict[str, Any]] = []
        self.read: list[str] = []
        self.flat_taken = False
        self.dhcp_networks: list[Any] = []
        self.session = SimpleNamespace(auth=self, get=self.get)

    def __enter__(self) -> FakeCloud:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    # identity
    def authorize(self) -> None:
        if self.login:
            raise self.login

    def get_access(self, session: Any) -> Any:
        entries = [("compute", "http://v/v2.1"), ("dns", "http://v/dns")]
        catalog = [
            {
                "type": kind,
                "endpoints": [
                    {"region": "RegionOne", "interface": "public", "url": url},
                    {"region": "RegionOne", "interface": "internal", "url": url},
                    {"region": "Elsewhere", "interface": "public", "url": "http://far/"},
                ],
            }
            for kind, url in entries
        ]
        return SimpleNamespace(service_catalog=SimpleNamespace(catalog=catalog))

    def get(self, url: str, timeout: int, raise_exc: bool) -> Any:
        self.read.append(url)
        if self.api_status == 0:
            raise OSError("no route")
        return SimpleNamespace(status_code=self.api_status)

    # things
    def _add(self, kind: str, name: str, **facts: Any) -> Any:
        self.made += 1
        item = SimpleNamespace(id=f"{kind}-{self.made}", name=name, **facts)
        self.items[kind].append(item)
        return item

    def _delete(self, kind: str, key: str) -> None:
        if kind in self.sticky:
            raise openstack.exceptions.ConflictException("in use")
        self.items[kind] = [item for item in self.items[kind] if item.id != key]

    def create_image(self, name: str, **_: Any) -> Any:
        return self._add("image", name)

    def create_flavor(self, name: str, **_: Any) -> Any:
        return self._add("flavor", name)

    def create_network(self, name: str, **kwargs: Any) -> Any:
        if kwargs and self.flat_taken:
            raise openstack.exceptions.ConflictException("in use")
        return self._add("network", name)

    def create_subnet(self, **_: Any) -> Any:
        return SimpleNamespace(id="subnet")

    def create_router(self, name: str) -> Any:
        return self._add("router", name)

    def add_interface_to_router(self, router: Any, subnet_id: str) -> None: ...

    def create_server(self, name: str, **kwargs: Any) -> Any:
        self.asked.append(kwargs)
        return self._add(
            "server",
            name,
            status="BUILD",
            task_state="spawning",
            addresses={"n": [{"addr": ADDRESS}]},
            compute_host="cmp1",
            fault={"message": "No valid host"},
        )

    def get_server(self, key: str) -> Any:
        server = next(s for s in self.items["server"] if s.id == key)
        server.status = self.status
        return server

    def get_server_console_output(self, key: str) -> dict[str, str]:
        said, self.said = self.said, GOOD
        if said == "later":
            raise openstack.exceptions.NotFoundException("no console yet")
        return {"output": said}

    def services(self, binary: str) -> list[Any]:
        up = SimpleNamespace(host="cmp1", state="up", status="enabled")
        return [up, SimpleNamespace(host="cmp2", state="down", status="enabled")]

    # lists
    def servers(self, details: bool = True) -> list[Any]:
        return list(self.items["server"])

    def flavors(self, details: bool = True) -> list[Any]:
        return list(self.items["flavor"])

    def images(self) -> list[Any]:
        return list(self.items["image"])

    def routers(self) -> list[Any]:
        return list(self.items["router"])

    def networks(self, **query: Any) -> list[Any]:
        return self.dhcp_networks if query else list(self.items["network"])

    def subnets(self, network_id: str) -> list[Any]:
        return [SimpleNamespace(is_dhcp_enabled=network_id == "with-dhcp")]

    def ports(self, device_id: str) -> list[Any]:
        return [SimpleNamespace(id="port")]

    # removal
    def remove_interface_from_router(self, router: str, port_id: str) -> None: ...

    def delete_server(self, key: str, force: bool) -> None:
        self._delete("server", key)

    def delete_router(self, key: str) -> None:
        self._delete("router", key)

    def delete_network(self, key: str) -> None:
        self._delete("network", key)

    def delete_flavor(self, key: str) -> None:
        self._delete("flavor", key)

    def delete_image(self, key: str) -> None:
        self._delete("image", key)
