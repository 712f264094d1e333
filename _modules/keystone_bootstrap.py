"""
The first administrator of Keystone, made through the database before any API runs.
"""

import json

from salt.exceptions import CommandExecutionError

__virtualname__ = "keystone_bootstrap"

CONFIG = "/etc/keystone/keystone.conf"

#: Keystone's own hashers judge the password, whatever algorithm the operator chose.
CHECK = """
import json, sys
from keystone.common import password_hashing
asked = json.load(sys.stdin)
hasher = password_hashing._get_hasher_from_ident(asked["hash"])
sys.exit(0 if hasher.verify(asked["password"].encode(), asked["hash"]) else 3)
"""

ADMINISTRATOR = """
SELECT p.password_hash, u.enabled
FROM local_user l JOIN user u ON u.id = l.user_id JOIN password p ON p.local_user_id = l.id
WHERE l.name = %s AND l.domain_id = 'default' AND p.expires_at IS NULL
ORDER BY p.created_at_int DESC LIMIT 1
"""

GRANTS = """
SELECT COUNT(*) FROM assignment a
JOIN local_user l ON l.user_id = a.actor_id JOIN role r ON r.id = a.role_id
JOIN project p ON p.id = a.target_id
WHERE l.name = %s AND r.name = 'admin' AND p.name = 'admin'
"""

REGION = "SELECT COUNT(*) FROM region WHERE id = %s"


def __virtual__():
    if "openstack_schema.query" in __salt__:
        return __virtualname__
    return False, "keystone_bootstrap: openstack_schema did not load"


def _ask(sql, value):
    return __salt__["openstack_schema.query"](CONFIG, "database", sql, [value])


def show(name, region, pillar):
    """
    Return whether the administrator exists and can log in, as the database says.

    name
        The administrator, usually ``admin``.

    region
        Region that must exist.

    pillar
        Path in the pillar of the administrator's password.

    Returns ``{"password": "valid" | "other" | "missing", "role": bool, "region": bool}``. Works
    while no Keystone runs. Raises CommandExecutionError when the database cannot be asked.

    CLI Example:

    .. code-block:: bash

        salt ctl1 keystone_bootstrap.show admin RegionOne cloud:values:keystone:admin:password
    """
    rows = _ask(ADMINISTRATOR, name)
    login = "missing"
    if rows:
        hashed, enabled = rows[0]
        secret = __salt__["pillar.get"](pillar, unmask=True)
        ret = __salt__["cmd.run_all"](
            ["/usr/bin/python3", "-c", CHECK],
            python_shell=False,
            stdin=json.dumps({"password": secret, "hash": hashed}),
            ignore_retcode=True,
            output_loglevel="quiet",
            timeout=60,
        )
        if ret["retcode"] not in (0, 3):
            tail = "".join(ret["stderr"].splitlines()[-1:])
            raise CommandExecutionError(f"the administrator's password cannot be checked: {tail}")
        login = "valid" if enabled and not ret["retcode"] else "other"
    return {
        "password": login,
        "role": bool(_ask(GRANTS, name)[0][0]),
        "region": bool(_ask(REGION, region)[0][0]),
    }


def run(name, region, urls, pillar):
    """
    Make the administrator, its project and roles, and Keystone's own endpoints.

    name, region, pillar
        As for :py:func:`show`.

    urls
        ``{public: URL, internal: URL, admin: URL}`` of Keystone itself.

    Safe to repeat; a changed password is set. Raises CommandExecutionError when Keystone refuses.

    CLI Example:

    .. code-block:: bash

        salt ctl1 keystone_bootstrap.run admin RegionOne '{internal: "http://10.0.0.10:5000/v3"}' \\
            cloud:values:keystone:admin:password
    """
    argv = ["keystone-manage", "bootstrap", "--bootstrap-username", name]
    argv += ["--bootstrap-service-name", "keystone", "--bootstrap-region-id", region]
    for interface, url in sorted(urls.items()):
        argv += [f"--bootstrap-{interface}-url", url]
    __salt__["openstack_schema.sync"](
        "keystone",
        argv,
        config=CONFIG,
        env={"OS_BOOTSTRAP_PASSWORD": __salt__["pillar.get"](pillar, unmask=True)},
        timeout=120,
    )
    return True
