"""A canary that does its work unless the test says otherwise."""

import stub_notes

__virtualname__ = "cloud_validation"


def __virtual__():
    return __virtualname__


def run(image=None, timeout=300, hosts=None, tidy=True, router=True):
    """Note the trial."""
    stub_notes.note(__opts__, "tried", hosts=hosts)
    return {"ok": True, "checks": []}


def clean():
    """Nothing was made, nothing is left."""
    return "nothing"
