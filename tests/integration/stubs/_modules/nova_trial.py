"""Notes who is let in: the canary does its work wherever it is tried."""

import stub_notes

__virtualname__ = "nova_trial"


def __virtual__():
    return __virtualname__


def prove(hosts, image=None, timeout=300, together=8):
    """Note the trial, and that ``hosts`` work from now on."""
    stub_notes.note(__opts__, "tried", hosts=hosts)
    for host in hosts:
        stub_notes.note(__opts__, "let in", host=host)
    return dict.fromkeys(hosts, "")


def hold(host, reason, dated=False):
    """Note that ``host`` is kept out."""
    stub_notes.note(__opts__, "kept out", host=host, reason=reason)
    return True
