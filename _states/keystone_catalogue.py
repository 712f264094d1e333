"""
Keep Keystone's catalogue, service users and their roles what the model says.

.. code-block:: yaml

    keystone-catalogue:
      keystone_catalogue.present:
        - name: catalogue
        - pillar: cloud:values:keystone:catalogue
"""

from salt.exceptions import CommandExecutionError
from saltern import keystone
from saltern.converge import converge

__virtualname__ = "keystone_catalogue"


def __virtual__():
    if "keystone.observe" in __salt__:
        return __virtualname__
    return False, "keystone_catalogue: the execution module keystone did not load"


def present(name, pillar):
    """
    Ensure that every service, endpoint, project, role and user of the catalogue is in Keystone.

    name
        For people.

    pillar
        Path in the pillar of the catalogue. A path and not the catalogue, so that no rendered state
        or job return holds the users' passwords. Passwords are checked by logging in.
    """
    catalogue = __salt__["pillar.get"](pillar, unmask=True)
    if not catalogue:
        comment = f"pillar {pillar} is empty: only the leader of Keystone has the catalogue"
        return {"name": name, "result": False, "changes": {}, "comment": comment}
    return converge(
        name,
        desired=keystone.desired(catalogue),
        observe=lambda: __salt__["keystone.observe"](catalogue),
        act=lambda changes: __salt__["keystone.apply"](catalogue, list(changes)),
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )
