"""
Keep the hypervisor ready for its first instance.

.. code-block:: yaml

    libvirt-capabilities:
      hypervisor.probed
"""

from salt.exceptions import CommandExecutionError
from saltern.converge import converge

__virtualname__ = "hypervisor"


def __virtual__():
    if "hypervisor.probed" in __salt__:
        return __virtualname__
    return False, "hypervisor: the execution module did not load"


def probed(name):
    """
    Ensure that libvirt knows what the installed emulators can do, or is finding out meanwhile.

    name
        Title for people.
    """
    return converge(
        name,
        desired={"capabilities": "known"},
        observe=lambda: {
            "capabilities": "unknown" if __salt__["hypervisor.probed"]() == "no" else "known"
        },
        act=lambda changes: __salt__["hypervisor.probe"](),
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )
