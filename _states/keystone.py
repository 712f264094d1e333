"""
Single services, endpoints, projects, roles and users of Keystone, for what an operator adds.

.. code-block:: yaml

    monitoring-project:
      keystone.project_present:
        - name: monitoring

    monitoring-user:
      keystone.user_present:
        - name: monitor
        - pillar: monitoring:password
        - project: monitoring
        - roles: [reader]
        - require:
          - keystone: monitoring-project
"""

from salt.exceptions import CommandExecutionError
from saltern import keystone
from saltern.converge import converge

__virtualname__ = "keystone"


def __virtual__():
    if "keystone.observe" in __salt__:
        return __virtualname__
    return False, "keystone: the execution module did not load"


def _present(name, **catalogue):
    catalogue = {"region": __salt__["pillar.get"]("cloud:region", unmask=True), **catalogue}
    return converge(
        name,
        desired=keystone.desired(catalogue),
        observe=lambda: __salt__["keystone.observe"](catalogue),
        act=lambda changes: __salt__["keystone.apply"](catalogue, list(changes)),
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )


def role_present(name):
    """
    Ensure that a role exists.

    name
        The role.
    """
    return _present(name, roles=[name])


def project_present(name, description=""):
    """
    Ensure that a project exists in the default domain.

    name
        The project.

    description
        For people; written when the project is made.
    """
    return _present(name, projects={name: description})


def service_present(name, type, description=""):  # noqa: A002 - Keystone's own word
    """
    Ensure that a service is in the catalogue.

    name
        The service, e.g. ``barbican``.

    type
        Its type, e.g. ``key-manager``.

    description
        For people.
    """
    return _present(name, services=[{"name": name, "type": type, "description": description}])


def endpoint_present(name, type, service, interface="public"):  # noqa: A002 - Keystone's own word
    """
    Ensure that a service has exactly one endpoint for an interface, in the cloud's region.

    name
        The URL.

    type
        Type of the service.

    service
        Name of the service.

    interface
        ``public``, ``internal`` or ``admin``.
    """
    return _present(
        name, services=[{"name": service, "type": type, "endpoints": {interface: name}}]
    )


def user_present(name, pillar, project=None, roles=()):
    """
    Ensure that a user of the default domain can log in and holds roles in a project.

    name
        The user.

    pillar
        Path in the pillar of the password, so that no rendered state or job return holds it.

    project
        Where the user holds ``roles``.

    roles
        Names of roles that exist.
    """
    password = __salt__["pillar.get"](pillar, unmask=True)
    if not password:
        comment = f"pillar {pillar} has no password for {name}"
        return {"name": name, "result": False, "changes": {}, "comment": comment}
    spec = {"password": password, "project": project, "roles": list(roles)}
    return _present(name, users={name: spec})
