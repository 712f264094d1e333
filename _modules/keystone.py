"""
Services, endpoints, projects, users and roles of Keystone, as the administrator sees them.

It runs on nodes that have Keystone, where the pillar holds the administrator's credentials
(``cloud:values:keystone:admin``). One login and a few requests per call: no ``openstack`` command.
"""

import concurrent.futures
import contextlib

from salt.exceptions import CommandExecutionError
from saltern import keystone

__virtualname__ = "keystone"

#: Seconds that Keystone may take for one answer.
REQUEST_TIMEOUT = 30

ADMIN = "cloud:values:keystone:admin"
DOMAIN = "default"  # id of the domain that Keystone makes at its first start


def __virtual__():
    try:
        import keystoneauth1  # noqa: F401
    except ImportError:
        return False, "keystone: openstacksdk is not installed in Salt's environment"
    return __virtualname__


def _admin():
    """The administrator's credentials, read here: threads have no pillar."""
    admin = __salt__["pillar.get"](ADMIN, unmask=True)
    if not admin:
        raise CommandExecutionError(
            f"pillar {ADMIN} is empty: ask a node that runs Keystone"
            " (salt -C 'I@cloud:services:keystone' keystone.service_list)"
        )
    return admin


def _login(admin, username, password, **scope):
    """Session and identity plugin of one user; nothing is sent yet."""
    from keystoneauth1 import session
    from keystoneauth1.identity import v3

    auth = v3.Password(
        admin["auth_url"],
        username=username,
        password=password,
        user_domain_name=admin["user_domain_name"],
        **scope,
    )
    return session.Session(auth=auth, timeout=REQUEST_TIMEOUT), auth


@contextlib.contextmanager
def _identity():
    """An adapter to the identity API as the administrator; its failures say what to do."""
    from keystoneauth1 import adapter, exceptions

    admin = _admin()
    scope = {key: admin[key] for key in ("project_name", "project_domain_name")}
    session, _ = _login(admin, admin["username"], admin["password"], **scope)
    try:
        yield adapter.Adapter(session, endpoint_override=admin["auth_url"], connect_retries=2)
    except exceptions.Unauthorized as exc:
        raise CommandExecutionError(
            f"Keystone at {admin['auth_url']} refuses the administrator: {exc}; apply"
            " keystone.schema on the leader to set the password of the model"
        ) from exc
    except exceptions.ClientException as exc:
        raise CommandExecutionError(
            f"Keystone at {admin['auth_url']}: {exc}; see: salt '*' openstack.health"
        ) from exc


def _list(api, collection, **filters):
    answer = api.get(f"/{collection}", params=filters).json()
    return answer[collection]


def _logs_in(admin, username, password):
    """Whether Keystone accepts this password of a user."""
    from keystoneauth1 import exceptions

    session, auth = _login(admin, username, password)
    try:
        auth.get_access(session)
    except exceptions.Unauthorized:
        return False
    return True


def _accepted(users, known):
    """Names of ``users`` among the ``known`` whose passwords work, asked side by side."""
    admin = _admin()
    names = sorted(set(users) & {user["name"] for user in known})
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        answers = pool.map(lambda name: _logs_in(admin, name, users[name]["password"]), names)
        return {name for name, works in zip(names, answers, strict=True) if works}


def _found(api, catalogue):
    """Everything in Keystone that the facts of ``catalogue`` speak about."""
    users = catalogue.get("users", {})
    known = _list(api, "users", domain_id=DOMAIN) if users else []
    projects = _list(api, "projects", domain_id=DOMAIN)
    homes = {spec.get("project") for spec in users.values()}
    return keystone.Found(
        roles=_list(api, "roles"),
        projects=projects,
        services=_list(api, "services"),
        endpoints=_list(api, "endpoints"),
        users=known,
        assignments=[
            assignment
            for project in projects
            if project["name"] in homes
            for assignment in _list(api, "role_assignments", **{"scope.project.id": project["id"]})
        ],
        accepted=_accepted(users, known),
    )


def observe(catalogue):
    """
    Return the facts of a catalogue as they are in Keystone.

    catalogue
        Dict with ``region`` and any of ``roles``, ``projects``, ``services``, ``users``, as
        ``saltern.values.identity.catalogue`` makes it.

    Returns ``{"kind:what": value}``; of what Keystone has and the catalogue does not, too. Raises
    CommandExecutionError when Keystone does not answer.

    CLI Example:

    .. code-block:: bash

        salt ctl1 keystone.observe '{region: RegionOne}'
    """
    with _identity() as api:
        return keystone.observed(catalogue, _found(api, catalogue))


def apply(catalogue, facts):
    """
    Bring about facts of a catalogue. Nothing is ever removed but surplus copies of one endpoint.

    catalogue
        As for :py:func:`observe`.

    facts
        Names of the facts to bring about, as :py:func:`observe` names them.

    Returns the facts in the order in which they were brought about. Raises CommandExecutionError
    when Keystone refuses one.

    CLI Example:

    .. code-block:: bash

        salt ctl1 keystone.apply '{region: RegionOne, roles: [auditor]}' '["role:auditor"]'
    """
    ordered = keystone.in_order(facts)
    makers = {
        "role": _make_role,
        "project": _make_project,
        "service": _make_service,
        "endpoint": _make_endpoint,
        "user": _make_user,
        "grant": _make_grant,
    }
    with _identity() as api:
        for fact in ordered:
            kind, what = fact.split(":", 1)
            makers[kind](api, catalogue, what)
    return ordered


def _make_role(api, catalogue, name):
    api.post("/roles", json={"role": {"name": name}})


def _make_project(api, catalogue, name):
    project = {"name": name, "domain_id": DOMAIN, "description": catalogue["projects"][name]}
    api.post("/projects", json={"project": project})


def _make_service(api, catalogue, type_):
    spec = next(s for s in catalogue["services"] if s["type"] == type_)
    service = {key: spec[key] for key in ("type", "name", "description") if key in spec}
    held = _list(api, "services", type=type_)
    if held:
        api.patch(f"/services/{held[0]['id']}", json={"service": service})
    else:
        api.post("/services", json={"service": service})


def _make_endpoint(api, catalogue, what):
    type_, interface = what.rsplit(":", 1)
    spec = next(s for s in catalogue["services"] if s["type"] == type_)
    region = catalogue["region"]
    service = _list(api, "services", type=type_)[0]
    found = keystone.Found(
        services=[service], endpoints=_list(api, "endpoints", service_id=service["id"])
    )
    endpoint = {
        "service_id": service["id"],
        "interface": interface,
        "region_id": region,
        "url": spec["endpoints"][interface],
    }
    held = keystone.endpoints(found, type_, interface, region)
    if not held:
        api.post("/endpoints", json={"endpoint": endpoint})
        return
    api.patch(f"/endpoints/{held[0]['id']}", json={"endpoint": endpoint})
    for surplus in held[1:]:
        api.delete(f"/endpoints/{surplus['id']}")


def _make_user(api, catalogue, name):
    spec = catalogue["users"][name]
    user = {"password": spec["password"], "enabled": True}
    held = _list(api, "users", name=name, domain_id=DOMAIN)
    if held:
        api.patch(f"/users/{held[0]['id']}", json={"user": user})
    else:
        api.post("/users", json={"user": {**user, "name": name, "domain_id": DOMAIN}})


def _make_grant(api, catalogue, what):
    name, project = what.rsplit(":", 1)
    user = _list(api, "users", name=name, domain_id=DOMAIN)[0]["id"]
    where = _list(api, "projects", name=project, domain_id=DOMAIN)[0]["id"]
    roles = {role["name"]: role["id"] for role in _list(api, "roles")}
    for role in catalogue["users"][name]["roles"]:
        if role not in roles:
            raise CommandExecutionError(f"there is no role {role} to grant to {name}")
        api.put(f"/projects/{where}/users/{user}/roles/{roles[role]}")


def service_list():
    """
    Return the services of the catalogue, as the identity API describes them.

    CLI Example:

    .. code-block:: bash

        salt ctl1 keystone.service_list
    """
    with _identity() as api:
        return _list(api, "services")


def endpoint_list():
    """
    Return the endpoints of the catalogue, as the identity API describes them.

    CLI Example:

    .. code-block:: bash

        salt ctl1 keystone.endpoint_list
    """
    with _identity() as api:
        return _list(api, "endpoints")


def project_list():
    """
    Return the projects of every domain, as the identity API describes them.

    CLI Example:

    .. code-block:: bash

        salt ctl1 keystone.project_list
    """
    with _identity() as api:
        return _list(api, "projects")


def user_list():
    """
    Return the users of every domain, as the identity API describes them; never a password.

    CLI Example:

    .. code-block:: bash

        salt ctl1 keystone.user_list
    """
    with _identity() as api:
        return _list(api, "users")


def role_list():
    """
    Return the roles, as the identity API describes them.

    CLI Example:

    .. code-block:: bash

        salt ctl1 keystone.role_list
    """
    with _identity() as api:
        return _list(api, "roles")
