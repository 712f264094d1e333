"""A database that is formed once it was bootstrapped."""

import stub_notes

__virtualname__ = "galera"


def __virtual__():
    return __virtualname__


def observe():
    """An empty member, or the only one of its cluster."""
    formed = stub_notes.called(__opts__, "bootstrap")
    return {
        "service": "running" if formed else "stopped",
        "cluster_status": "Primary" if formed else "",
        "state": 4 if formed else None,
        "uuid": "11111111-2222-3333-4444-555555555555" if formed else None,
        "seqno": 0 if formed else None,
        "safe_to_bootstrap": False,
        "view": None,
        "databases": [],
        "incomplete": False,
        "damaged": "",
        "checkable": True,
    }


def bootstrap(proof=None, force=False):
    """Note the bootstrap, with the members that were seen before it."""
    stub_notes.note(__opts__, "bootstrap", seen=sorted(proof))
    return "bootstrapped"
