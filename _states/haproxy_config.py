"""
HAProxy runs with the configuration that is on disk.

.. code-block:: yaml

    haproxy-loaded:
      haproxy_config.loaded:
        - name: /etc/haproxy/haproxy.cfg
        - require:
          - unit: haproxy-service
"""

from salt.exceptions import CommandExecutionError
from saltern.converge import converge

__virtualname__ = "haproxy_config"


def __virtual__():
    if "haproxy.configuration" in __salt__:
        return __virtualname__
    return False, "haproxy_config: the execution module did not load"


def loaded(name):
    """
    Ensure the running HAProxy has loaded the file ``name``: reload it when it has not.

    A reload loses no connection and keeps who is admitted and drained; nothing is ever restarted.

    name
        Path of the configuration.
    """
    seen = __salt__["haproxy.configuration"](name)
    return converge(
        name,
        desired={"loaded": seen["on_disk"]},
        observe=lambda: {"loaded": __salt__["haproxy.configuration"](name)["loaded"]},
        act=lambda changes: __salt__["haproxy.reload"](),
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )
