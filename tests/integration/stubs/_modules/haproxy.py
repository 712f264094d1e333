"""A balancer that notes what it is told."""

import stub_notes

__virtualname__ = "haproxy"


def __virtual__():
    return __virtualname__


def admit_services(services, timeout=60):
    """Note the admission."""
    stub_notes.note(__opts__, "admit", services=services)
    return {"admitted": [f"{name}/ctl1" for name in services], "already": []}


def drain_node(node, services=None):
    """Note the draining."""
    stub_notes.note(__opts__, "drain", services=services)
    return []


def admit_node(node, services=None):
    """Note the admission of one node."""
    stub_notes.note(__opts__, "admit again", services=services)
    return []
