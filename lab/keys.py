"""Keys are compared, never trusted by name: what a node shows must be what the node has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass


class KeyMismatch(RuntimeError):
    """Somebody showed the master another key than the node of that name has."""


def fingerprint(pem: str) -> str:
    """A public key's fingerprint as Salt prints it: SHA-256 of all between header and footer."""
    lines = [line + "\n" for line in pem.splitlines() if line.strip()]
    if len(lines) < 3 or not lines[0].startswith("-----BEGIN"):
        raise ValueError("this is no public key in PEM")
    digest = hashlib.sha256("".join(lines[1:-1]).encode()).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


@dataclass(frozen=True)
class Verdict:
    """What to do with the keys of the lab's nodes."""

    accept: list[str]  # pending, and the node's own
    wait: list[str]  # the master has not seen a key yet
    foreign: list[str]  # the master holds another key than the node's


def judge(
    own: Mapping[str, str], pending: Mapping[str, str], accepted: Mapping[str, str]
) -> Verdict:
    """Compare ``own`` fingerprints, read on the nodes, with what the master holds.

    An accepted key that is the node's own needs nothing, unless it is pending as well: that is how
    Salt loses an acceptance (_utils/saltern_keys.py). Ids that are not the lab's do not count.
    """
    accept, wait, foreign = [], [], []
    for node, finger in sorted(own.items()):
        held = {keys[node] for keys in (pending, accepted) if node in keys}
        if not held:
            wait.append(node)
        elif held != {finger}:
            foreign.append(node)
        elif node in pending:
            accept.append(node)
    return Verdict(accept, wait, foreign)
