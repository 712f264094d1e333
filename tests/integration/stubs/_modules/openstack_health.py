"""Services that are well unless the test says otherwise."""

import stub_notes

__virtualname__ = "openstack"


def __virtual__():
    return __virtualname__


def health(services=None, deep=False, wait=0):
    """As the real one, without asking anybody."""
    ill = stub_notes.told(__opts__)["ill"]
    stub_notes.note(__opts__, "health", services=services)
    return {
        name: {"status": "down" if name in ill else "ok", "reason": "stubbed", "seconds": 0.0}
        for name in __pillar__["cloud"]["services"]
        if name in services
    }
