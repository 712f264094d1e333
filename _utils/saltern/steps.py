"""What a formation asks of whom: the one shape in which decisions about members are handed out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Refused(RuntimeError):
    """Acting now could lose data or quorum. The message lists every reason and the way out."""


@dataclass(frozen=True)
class Step:
    """Call ``function`` on all ``nodes`` at the same time; the next step waits for all of them."""

    nodes: tuple[str, ...]
    function: str
    why: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    timeout: int = 120  # seconds until a member that has not answered counts as failed
