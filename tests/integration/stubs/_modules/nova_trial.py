"""Notes who is let in."""

import stub_notes

__virtualname__ = "nova_trial"


def __virtual__():
    return __virtualname__


def allow(hosts, allowed=True, timeout=None):
    """The canary may go to ``hosts``."""
    return hosts


def release(host):
    """Note that ``host`` works from now on."""
    stub_notes.note(__opts__, "let in", host=host)
    return True


def hold(host, reason, dated=False):
    """Note that ``host`` is kept out."""
    stub_notes.note(__opts__, "kept out", host=host, reason=reason)
    return True
