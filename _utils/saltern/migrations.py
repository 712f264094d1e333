"""What a database schema is behind of: migration scripts on disk against revisions in the database.

Every OpenStack project migrates with alembic: scripts that name what they follow, and a table
that holds the last ones applied. Asking the project's own command costs seconds of CPU; the two
lists are the same truth and cost milliseconds.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

NAMES = frozenset({"revision", "down_revision", "depends_on"})


class Newer(ValueError):
    """The database was migrated by newer code than what is installed here."""


@dataclass(frozen=True)
class Target:
    """Where a database is and who may open it."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str


def target(url: str, database: str | None = None) -> Target:
    """Read an SQLAlchemy URL; ``database`` takes the place of the one it names.

    :raises ValueError: when it is not a URL of a database server.
    """
    parts = urlsplit(url)
    if not parts.scheme or not parts.hostname:
        raise ValueError("the connection is not a database URL")
    return Target(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=database or parts.path.lstrip("/"),
    )


def _names(value: object) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset({value})
    return frozenset(map(str, value)) if isinstance(value, tuple | list) else frozenset()


def _assigned(node: ast.stmt) -> tuple[str, ast.expr] | None:
    """Name and value of ``name = value`` or ``name: type = value``."""
    if isinstance(node, ast.Assign):
        target, value = node.targets[0], node.value
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        target, value = node.target, node.value
    else:
        return None
    return (target.id, value) if isinstance(target, ast.Name) else None


def revision(script: str) -> tuple[str, frozenset[str]] | None:
    """``(revision, what it needs before it)`` of one migration script; None when it is not one."""
    assigned = [found for node in ast.parse(script).body if (found := _assigned(node))]
    values = {name: ast.literal_eval(value) for name, value in assigned if name in NAMES}
    if not isinstance(values.get("revision"), str):
        return None
    return values["revision"], _names(values.get("down_revision")) | _names(
        values.get("depends_on")
    )


def revisions(scripts: Iterable[str]) -> dict[str, frozenset[str]]:
    """Every revision of ``scripts`` with what it needs before it."""
    return dict(found for script in scripts if (found := revision(script)))


def missing(known: Mapping[str, frozenset[str]], stored: Iterable[str]) -> list[str]:
    """Revisions of ``known`` that a database holding ``stored`` has not seen, sorted.

    :raises Newer: when the database holds a revision that no script here knows.
    """
    todo = list(stored)
    if unknown := sorted(set(todo) - set(known)):
        raise Newer(f"the database is at {', '.join(unknown)}, which the code here does not know")
    applied: set[str] = set()
    while todo:
        current = todo.pop()
        if current not in applied:
            applied.add(current)
            todo.extend(known[current])
    return sorted(set(known) - applied)


def mask(text: str, secrets: Iterable[str]) -> str:
    """``text`` without ``secrets``, for errors that people and logs see."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text
