"""The hosts file: our names in one block, and nowhere else in it."""

from __future__ import annotations

from collections.abc import Mapping

BEGIN = "# begin of what Saltern manages"
END = "# end of what Saltern manages"


def render(text: str, hosts: Mapping[str, str], aliases: Mapping[str, str]) -> str:
    """``text`` with our block; other lines stay, but lose names that are ours.

    hosts, aliases
        Name -> address. Debian's installer binds a node's own name to 127.0.1.1: with that,
        cluster members would announce an address which nobody else can reach.
    """
    ours = {**hosts, **aliases}
    kept = []
    inside = False
    for line in text.splitlines():
        inside = inside or line == BEGIN
        if not inside:
            kept += _without(line, ours)
        inside = inside and line != END
    while kept and not kept[-1].strip():
        kept.pop()
    block = [BEGIN, *(f"{address}\t{name}" for name, address in ours.items()), END]
    return "\n".join([*kept, *block]) + "\n"


def _without(line: str, names: Mapping[str, str]) -> list[str]:
    """``line`` less the ``names`` it binds; no line at all when nothing is left of it."""
    words, hash_sign, comment = line.partition("#")
    fields = words.split()
    left = [field for field in fields[1:] if field.split(".")[0] not in names]
    if len(left) == len(fields[1:]):
        return [line]
    tail = f" {hash_sign}{comment}" if hash_sign else ""
    return ["\t".join([fields[0], " ".join(left)]) + tail] if left else []
