"""
Keep Swift's rings what the model says, the same on every node.

.. code-block:: yaml

    swift-rings:
      swift_rings.present:
        - name: /etc/swift
        - rings: {object: {part_power: 10, replicas: 3, devices: [...]}}
"""

from salt.exceptions import CommandExecutionError
from saltern import rings as ring_files
from saltern.converge import converge

__virtualname__ = "swift_rings"


def __virtual__():
    if "swift_rings.show" in __salt__:
        return __virtualname__
    return False, "swift_rings: the execution module did not load"


def present(name, rings):
    """
    Ensure that the rings of a folder name exactly these devices.

    name
        Where Swift looks for its rings.

    rings
        ``{kind: {part_power, replicas, devices: [...]}}`` as ``saltern.values.storage`` makes it.
        Other rings in the folder are left alone.
    """
    return converge(
        name,
        desired={kind: ring_files.brief(ring) for kind, ring in rings.items()},
        observe=lambda: __salt__["swift_rings.show"](name),
        act=lambda changes: __salt__["swift_rings.build"](
            {kind: rings[kind] for kind in changes}, name
        ),
        test=__opts__["test"],
        errors=(CommandExecutionError, OSError),
    )
