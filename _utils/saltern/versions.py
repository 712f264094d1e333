"""Which OpenStack release the packages of a node are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

#: Keystone's first number -> release. Nova's is four ahead of it.
RELEASES: Mapping[int, str] = {
    24: "2023.2",
    25: "2024.1",
    26: "2024.2",
    27: "2025.1",
    28: "2025.2",
    29: "2026.1",
}

NOVA_AHEAD = 4

#: Units whose Debian package has another name.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "apache2": ("apache2", "openstack-dashboard"),
    "libvirtd": ("libvirt-daemon-system", "qemu-system-x86"),
    "mariadb": ("mariadb-server", "galera-4"),
    "ovn-controller": ("ovn-host",),
    "ovs-vswitchd": ("openvswitch-switch",),
}


def packages_of(units: Iterable[str]) -> list[str]:
    """Debian packages behind ``units``."""
    return sorted({package for unit in units for package in PACKAGES.get(unit, (unit,))})


def parse_dpkg(text: str) -> dict[str, str]:
    """Package -> version of ``dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\\n'``."""
    rows = (line.split() for line in text.splitlines())
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}


def release(versions: Mapping[str, str]) -> str | None:
    """OpenStack's release by the version of Keystone or of a package of Nova; None without both."""
    for package, version in sorted(versions.items()):
        major = re.match(r"(?:\d+:)?(\d+)\.", version)
        if major and (package == "keystone" or package.startswith("nova-")):
            ahead = NOVA_AHEAD if package.startswith("nova-") else 0
            return RELEASES.get(int(major[1]) - ahead)
    return None
