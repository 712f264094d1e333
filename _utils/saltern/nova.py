"""What Nova's tables and records mean for a deployment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SQL_CELLS = "SELECT uuid, name, database_connection, transport_url FROM cell_mappings"
SQL_MAPPED = "SELECT host FROM host_mappings"
#: Hosts that a cell could be told about: the agent has registered, and so has its hypervisor.
SQL_REPORTED = (
    "SELECT s.host FROM services s JOIN compute_nodes c ON c.host = s.host AND c.deleted = 0"
    " WHERE s.`binary` = 'nova-compute' AND s.deleted = 0"
)


def cells(rows: Iterable[Sequence[Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows of :data:`SQL_CELLS` by name. A name can be there twice: Nova does not mind, we do."""
    found: dict[str, list[dict[str, Any]]] = {}
    for uuid, name, database, transport in rows:
        found.setdefault(str(name), []).append(
            {"uuid": uuid, "database": database, "transport": transport}
        )
    return found


def service(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of ``os-services`` in the few words that matter."""
    return {
        "binary": record["binary"],
        "host": record["host"],
        "up": record["state"] == "up",
        "enabled": record["status"] == "enabled",
        "reason": record.get("disabled_reason"),
        "updated": record.get("updated_at"),
    }
