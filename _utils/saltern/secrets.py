"""Which secrets a cloud has, and what a new one looks like."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

Random = Callable[[int], bytes]

#: A staged key, one that only decrypts, and the primary: Keystone's own default is three.
MAX_FERNET_KEYS = 3


def wanted(catalog: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Project -> name -> kind of every secret that the catalog declares."""
    found: dict[str, dict[str, str]] = {}
    for service, spec in catalog.items():
        if "secrets" in spec:
            found.setdefault(str(spec.get("project", service)), {}).update(spec["secrets"])
    return found


def generate(kind: str, random: Random) -> str:
    """A new secret of ``kind``.

    kind
        ``password``: 30 random bytes in URL-safe characters, so that it can stand in a URL, an INI
        file and SQL without quoting. ``fernet``: two key lines, the staged and the primary one.

    :raises ValueError: for a kind that does not exist.
    """
    if kind == "password":
        # A leading "-" would read as an option, "_" and "-" elsewhere are harmless.
        return "s" + base64.urlsafe_b64encode(random(30)).decode()
    if kind == "fernet":
        return "\n".join(_key(random) for _ in range(2))
    raise ValueError(f"there is no secret of kind {kind!r}")


def rotate_fernet(keys: str, random: Random) -> str:
    """``keys`` after one rotation: the staged key becomes primary, a new one is staged.

    Line *i* is key file *i*: line 0 is staged, the last line is primary. The oldest key that only
    decrypts is dropped when there would be more than :data:`MAX_FERNET_KEYS`.
    """
    staged, *active = keys.split("\n")
    return "\n".join([_key(random), *[*active, staged][-(MAX_FERNET_KEYS - 1) :]])


def _key(random: Random) -> str:
    return base64.urlsafe_b64encode(random(32)).decode()
