"""Units that are restarted when the test says that they wait for it."""

import stub_notes

__virtualname__ = "unit"


def __virtual__():
    return __virtualname__


def pending(services=None):
    """``{unit: {service, files}}``, until they are restarted."""
    if stub_notes.called(__opts__, "restart"):
        return {}
    return {
        service: {"service": service, "files": ["/etc/stub"]}
        for service in stub_notes.told(__opts__)["pending"]
        if service in __pillar__["cloud"]["services"]
    }


def restart_pending(services=None, timeout=120):
    """Note the restart."""
    stub_notes.note(__opts__, "restart", services=services)
    return services
