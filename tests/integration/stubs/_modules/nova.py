"""A compute that has just registered, until it is let in."""

import stub_notes

__virtualname__ = "nova"


def __virtual__():
    return __virtualname__


def services(host=None, binary=None):
    """The record of cmp1."""
    known = stub_notes.called(__opts__, "let in")
    reason = None if known else "New compute service disabled due to config option."
    record = {"host": "cmp1", "binary": "nova-compute", "enabled": known, "up": True}
    return [{**record, "reason": reason, "updated": ""}]
