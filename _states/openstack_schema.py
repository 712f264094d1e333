"""
Keep the database schema of a project at the version of the installed code.

.. code-block:: yaml

    keystone-schema:
      openstack_schema.synced:
        - name: keystone
        - user: keystone
        - config: /etc/keystone/keystone.conf
        - migrations: /usr/lib/python3/dist-packages/keystone/common/sql/migrations/versions
        - sync: [keystone-manage, db_sync]
"""

from salt.exceptions import CommandExecutionError
from saltern.converge import converge

__virtualname__ = "openstack_schema"


def __virtual__():
    if "openstack_schema.missing" in __salt__:
        return __virtualname__
    return False, "openstack_schema: the execution module did not load"


def synced(
    name,
    user,
    config,
    migrations,
    sync,
    section="database",
    databases=None,
    table="alembic_version",
    timeout=900,
):
    """
    Ensure that the databases of a project have seen every migration of the installed code.

    name
        The project, for people.

    user
        The service user who runs ``sync``.

    config
        Configuration file that says where the database is.

    migrations
        Folder of the project's migration scripts, with subfolders.

    sync
        The command as a list, or a list of such lists, run in order when something is missing.

    section
        Section of ``config`` that holds ``connection``.

    databases
        Databases on that server that ``sync`` brings up to date (Nova's main schema lives in
        ``nova`` and ``nova_cell0``). Default: the one that ``connection`` names.

    table
        Where alembic keeps the revisions of this project.

    timeout
        Seconds until one command is given up.
    """
    commands = sync if sync and isinstance(sync[0], list) else [sync]

    def observe():
        seen = {}
        for database in databases or [None]:
            left = __salt__["openstack_schema.missing"](
                config, migrations, section=section, database=database, table=table
            )
            seen[database or name] = f"{len(left)} migrations behind" if left else "current"
        return seen

    def act(changes):
        for argv in commands:
            __salt__["openstack_schema.sync"](
                user, argv, config=config, section=section, timeout=timeout
            )

    return converge(
        name,
        desired={database or name: "current" for database in databases or [None]},
        observe=observe,
        act=act,
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )
