"""
keepalived runs with the configuration that is on disk.

.. code-block:: yaml

    keepalived-loaded:
      keepalived_config.loaded:
        - name: /etc/keepalived/keepalived.conf
        - require:
          - unit: keepalived-service
"""

from salt.exceptions import CommandExecutionError
from saltern.converge import converge

__virtualname__ = "keepalived_config"


def __virtual__():
    if "keepalived.configuration" in __salt__:
        return __virtualname__
    return False, "keepalived_config: the execution module did not load"


def loaded(name):
    """
    Ensure the running keepalived has loaded the file ``name``: reload it when it has not.

    A reload leaves the addresses where they are; nothing is ever restarted.

    name
        Path of the configuration.
    """
    seen = __salt__["keepalived.configuration"](name)
    return converge(
        name,
        desired={"loaded": seen["on_disk"]},
        observe=lambda: {"loaded": __salt__["keepalived.configuration"](name)["loaded"]},
        act=lambda changes: __salt__["keepalived.reload"](),
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )
