"""Answers given to package questions in advance, and what debconf's database holds of them."""

from __future__ import annotations

from collections.abc import Mapping


def parse_answers(text: str) -> dict[str, str]:
    """Question -> answer out of the lines of ``debconf-set-selections``."""
    rows = (line.split(maxsplit=3) for line in text.splitlines() if not line.startswith("#"))
    return {row[1]: row[3] if len(row) == 4 else "" for row in rows if row}


def parse_database(text: str) -> Mapping[str, str]:
    """Question -> value out of ``config.dat``: paragraphs of ``Name:``, ``Value:`` and others."""
    found = {}
    for paragraph in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in paragraph.strip().splitlines())
        if "Name" in fields and "Value" in fields:
            found[fields["Name"]] = fields["Value"]
    return found
