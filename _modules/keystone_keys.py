"""
Key files of Keystone: the fernet keys of tokens and the keys of stored credentials.
"""

import os
import pathlib
import pwd
import stat

from salt.exceptions import CommandExecutionError
from saltern import keystone

__virtualname__ = "keystone_keys"


def __virtual__():
    return __virtualname__


def _read(repository):
    try:
        return {
            int(path.name): path.read_text(encoding="ascii").strip()
            for path in pathlib.Path(repository).iterdir()
            if path.name.isdigit()
        }
    except FileNotFoundError:
        return {}


def show(repository):
    """
    Return what a key repository holds, without the keys.

    repository
        Folder of the keys, e.g. ``/etc/keystone/fernet-keys``.

    Returns ``{"keys": {index: fingerprint}, "private": bool}``; ``private`` says that only
    Keystone's user can read every file. The highest index is the primary key, 0 the staged one.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' keystone_keys.show /etc/keystone/fernet-keys
    """
    keys = _read(repository)
    folder = pathlib.Path(repository)
    paths = [folder, *(folder / str(index) for index in keys)] if folder.is_dir() else []
    try:
        owner = pwd.getpwnam("keystone").pw_uid
    except KeyError:
        owner = None
    private = bool(paths) and all(
        path.stat().st_uid == owner and not stat.S_IMODE(path.stat().st_mode) & 0o077
        for path in paths
    )
    return {
        "keys": {str(index): keystone.fingerprint(key) for index, key in sorted(keys.items())},
        "private": private,
    }


def write(repository, pillar):
    """
    Write all keys of a repository, in an order in which every token stays valid at every moment.

    repository
        Folder of the keys.

    pillar
        Path in the pillar of the list of keys: its first is staged, its last is primary.

    Returns the number of files written or removed. Raises CommandExecutionError when the pillar has
    no keys or the package is not installed.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' keystone_keys.write /etc/keystone/fernet-keys \\
            cloud:values:keystone:keys:/etc/keystone/fernet-keys
    """
    wanted = __salt__["pillar.get"](pillar, unmask=True)
    if not wanted:
        raise CommandExecutionError(f"pillar {pillar} has no keys; see: salt-run saltern.validate")
    try:
        user = pwd.getpwnam("keystone")
    except KeyError as exc:
        raise CommandExecutionError(
            "there is no user keystone: install the package keystone first"
        ) from exc
    folder = pathlib.Path(repository)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    operations = keystone.key_operations(_read(repository), wanted)
    for index, key in operations:
        path = folder / str(index)
        if key is None:
            path.unlink(missing_ok=True)
            continue
        staged = folder / f".{index}.new"  # not a number: Keystone does not read it
        staged.unlink(missing_ok=True)
        with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            os.fchown(file.fileno(), user.pw_uid, user.pw_gid)
            file.write(key)
        staged.replace(path)
    for path in (folder, *(folder / str(index) for index in range(len(wanted)))):
        os.chown(path, user.pw_uid, user.pw_gid)
        path.chmod(0o700 if path == folder else 0o600)
    return len(operations)
