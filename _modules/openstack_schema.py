"""
Database schemas of OpenStack projects: how far behind the installed code they are, and the sync.

The database is found through the project's own configuration file, so no password passes through
Salt's arguments, job cache or logs.
"""

import configparser
import pathlib

from salt.exceptions import CommandExecutionError
from saltern import migrations as alembic

__virtualname__ = "openstack_schema"

#: Seconds that the database may take to accept a connection or to answer one query.
DATABASE_TIMEOUT = 10

NO_SUCH_TABLE = 1146


class _NoSuchTable(CommandExecutionError):
    """The database is there, the table is not."""


def __virtual__():
    try:
        import pymysql  # noqa: F401
    except ImportError:
        return False, "openstack_schema: PyMySQL is not installed in Salt's environment"
    return __virtualname__


def _target(config, section, database=None):
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        with pathlib.Path(config).open(encoding="utf-8") as lines:
            parser.read_file(lines)
        return alembic.target(parser.get(section, "connection"), database)
    except (OSError, ValueError, configparser.Error) as exc:
        raise CommandExecutionError(
            f"{config} [{section}] does not say where the database is: {exc}; apply the states of"
            " this service first"
        ) from exc


def query(config, section, sql, parameters=(), database=None):
    """
    Return the rows of one SQL query, asked as the project's own database user.

    config
        Configuration file of the project, e.g. ``/etc/nova/nova.conf``.

    section
        Section that holds ``connection``, e.g. ``database``.

    sql
        One statement; ``%s`` stands for each of ``parameters``.

    parameters
        List of values.

    database
        Another database on the same server, e.g. ``nova_cell0``.

    Returns a list of rows, each a list of plain values. Raises CommandExecutionError when the
    database cannot be asked.

    CLI Example:

    .. code-block:: bash

        salt ctl1 openstack_schema.query /etc/nova/nova.conf api_database \\
            'SELECT name FROM cell_mappings'
    """
    import pymysql

    where = _target(config, section, database)
    try:
        connection = pymysql.connect(
            host=where.host,
            port=where.port,
            user=where.user,
            password=where.password,
            database=where.database,
            connect_timeout=DATABASE_TIMEOUT,
            read_timeout=DATABASE_TIMEOUT,
            write_timeout=DATABASE_TIMEOUT,
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, tuple(parameters))
            return [list(row) for row in cursor.fetchall()]
    except pymysql.MySQLError as exc:
        kind = _NoSuchTable if exc.args[:1] == (NO_SUCH_TABLE,) else CommandExecutionError
        raise kind(
            f"database {where.database} at {where.host}:{where.port}: {exc}; does it answer?"
            " salt -C 'I@cloud:services:galera' openstack.health"
        ) from exc


def stored(config, section="database", database=None, table="alembic_version"):
    """
    Return the revisions that the database says it has, sorted; empty before the first sync.

    config, section, database
        As for :py:func:`query`.

    table
        Where alembic keeps the revisions of this project.

    CLI Example:

    .. code-block:: bash

        salt ctl1 openstack_schema.stored /etc/keystone/keystone.conf
    """
    try:
        rows = query(config, section, f"SELECT version_num FROM `{table}`", (), database)  # noqa: S608
    except _NoSuchTable:
        return []
    return sorted(row[0] for row in rows)


def missing(config, migrations, section="database", database=None, table="alembic_version"):
    """
    Return the migrations of the installed code that the database has not seen, sorted.

    migrations
        Folder of the project's migration scripts, searched with its subfolders.

    config, section, database, table
        As for :py:func:`stored`.

    Raises CommandExecutionError when the database was migrated by newer code.

    CLI Example:

    .. code-block:: bash

        salt ctl1 openstack_schema.missing /etc/keystone/keystone.conf \\
            /usr/lib/python3/dist-packages/keystone/common/sql/migrations/versions
    """
    paths = sorted(pathlib.Path(migrations).rglob("*.py"))
    known = alembic.revisions(path.read_text(encoding="utf-8") for path in paths)
    if not known:
        raise CommandExecutionError(f"no migration scripts under {migrations}: install the package")
    try:
        return alembic.missing(known, stored(config, section, database, table))
    except alembic.Newer as exc:
        raise CommandExecutionError(
            f"{config}: {exc}; upgrade the packages of this node before its schema is touched"
        ) from exc


def sync(user, argv, config=None, section="database", timeout=900, env=None):
    """
    Run one migration command of a project as its service user.

    user
        The service user, e.g. ``nova``.

    argv
        The command as a list. It carries no secrets: the project reads its own configuration.

    config, section
        Whose password is masked should the command print it.

    timeout
        Seconds until the command is given up.

    env
        Additional environment of the command; its values are masked too.

    Returns what the command printed. Raises CommandExecutionError with the end of it on failure.

    CLI Example:

    .. code-block:: bash

        salt ctl1 openstack_schema.sync keystone '[keystone-manage, db_sync]' \\
            /etc/keystone/keystone.conf
    """
    secrets = list((env or {}).values())
    if config:
        secrets.append(_target(config, section).password)
    ret = __salt__["cmd.run_all"](
        ["runuser", "-u", user, "--", *argv],
        python_shell=False,
        env=env or {},
        timeout=timeout,
        ignore_retcode=True,
        redirect_stderr=True,
        output_loglevel="quiet",
    )
    output = alembic.mask(ret["stdout"], secrets)
    if ret["retcode"]:
        tail = "\n".join(output.splitlines()[-15:])
        raise CommandExecutionError(
            f"{' '.join(argv[:3])} as {user} ended with {ret['retcode']}: {tail}"
        )
    return output
