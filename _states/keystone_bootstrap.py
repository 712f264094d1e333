"""
Keep the first administrator of Keystone able to log in.

.. code-block:: yaml

    keystone-administrator:
      keystone_bootstrap.present:
        - name: admin
        - region: RegionOne
        - urls: {public: .., internal: .., admin: ..}
        - pillar: cloud:values:keystone:admin:password
"""

from salt.exceptions import CommandExecutionError
from saltern.converge import converge

__virtualname__ = "keystone_bootstrap"


def __virtual__():
    if "keystone_bootstrap.show" in __salt__:
        return __virtualname__
    return False, "keystone_bootstrap: the execution module did not load"


def present(name, region, urls, pillar):
    """
    Ensure that the administrator exists, holds its role and has the password of the pillar.

    name
        The administrator's name.

    region
        The region that Keystone's endpoints are listed in.

    urls
        ``{public: URL, internal: URL, admin: URL}`` of Keystone itself. Later changes of them are
        the catalogue's job (``keystone_catalogue.present``).

    pillar
        Path in the pillar of the password; the password itself is in no state and no return.
    """
    return converge(
        name,
        desired={"password": "valid", "role": True, "region": True},
        observe=lambda: __salt__["keystone_bootstrap.show"](name, region, pillar),
        act=lambda changes: __salt__["keystone_bootstrap.run"](name, region, urls, pillar),
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )
