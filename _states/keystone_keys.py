"""
Keep the key files of Keystone what the model says, the same on every node.

.. code-block:: yaml

    keystone-fernet-keys:
      keystone_keys.present:
        - name: /etc/keystone/fernet-keys
        - pillar: cloud:values:keystone:keys:/etc/keystone/fernet-keys
"""

from salt.exceptions import CommandExecutionError
from saltern import keystone
from saltern.converge import converge

__virtualname__ = "keystone_keys"


def __virtual__():
    if "keystone_keys.show" in __salt__:
        return __virtualname__
    return False, "keystone_keys: the execution module did not load"


def present(name, pillar):
    """
    Ensure that a key repository holds exactly the keys of the pillar, readable by Keystone alone.

    name
        Folder of the keys.

    pillar
        Path in the pillar of the list of keys: its first is staged, its last is primary. A path and
        not the keys, so that no rendered state or job return holds them.
    """
    wanted = __salt__["pillar.get"](pillar, unmask=True) or []
    return converge(
        name,
        desired={
            "keys": {str(index): keystone.fingerprint(key) for index, key in enumerate(wanted)},
            "private": True,
        },
        observe=lambda: __salt__["keystone_keys.show"](name),
        act=lambda changes: __salt__["keystone_keys.write"](name, pillar),
        test=__opts__["test"],
        errors=(CommandExecutionError, OSError),
    )
