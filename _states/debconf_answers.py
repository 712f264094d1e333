"""
Answers to the questions of Debian packages, given before the packages are there.

.. code-block:: yaml

    common-package-answers:
      debconf_answers.managed:
        - name: questions of the OpenStack packages
        - source: salt://common/files/debconf-answers.txt
"""

import pathlib

import salt.utils.path
from salt.exceptions import CommandExecutionError
from saltern import debconf
from saltern.converge import converge

__virtualname__ = "debconf_answers"

DATABASE = "/var/cache/debconf/config.dat"


def __virtual__():
    if salt.utils.path.which("debconf-set-selections"):
        return __virtualname__
    return False, "debconf_answers: this is no Debian system"


def managed(name, source):
    """
    Ensure debconf holds the answers of a file in the format of ``debconf-set-selections``.

    name
        A title.

    source
        URL of the file. It holds no secrets: answers are shown as changes.
    """

    def lines():
        cached = __salt__["cp.cache_file"](source)
        if not cached:
            raise CommandExecutionError(f"{source} is not on the master's file server")
        return pathlib.Path(cached).read_text(encoding="utf-8")

    def observe():
        path = pathlib.Path(DATABASE)
        return debconf.parse_database(path.read_text(encoding="utf-8") if path.exists() else "")

    def act(changes):
        ret = __salt__["cmd.run_all"](
            ["debconf-set-selections"], stdin=text, python_shell=False, timeout=60
        )
        if ret["retcode"]:
            raise CommandExecutionError(f"debconf-set-selections: {ret['stderr']}")

    try:
        text = lines()
    except CommandExecutionError as exc:
        return {"name": name, "result": False, "changes": {}, "comment": str(exc)}
    return converge(
        name,
        desired=debconf.parse_answers(text),
        observe=observe,
        act=act,
        test=__opts__["test"],
        errors=(CommandExecutionError, OSError),
    )
