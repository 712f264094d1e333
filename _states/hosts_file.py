"""
The names of the cloud in the hosts file of a node.

.. code-block:: yaml

    common-hosts:
      hosts_file.managed:
        - name: /etc/hosts
        - hosts: {ctl1: 192.0.2.11}
"""

import errno
import os
import pathlib

from saltern import hosts as names
from saltern.converge import converge

__virtualname__ = "hosts_file"


def __virtual__():
    return __virtualname__


def managed(name, hosts, aliases=None):
    """
    Ensure the file ``name`` binds our names to our addresses, and keeps what else it says.

    name
        The file, normally ``/etc/hosts``.

    hosts
        Node name -> address. No other line of the file may bind one of these names.

    aliases
        More names -> addresses, e.g. of the virtual addresses.
    """
    path = pathlib.Path(name)

    def text():
        return path.read_text(encoding="utf-8") if path.exists() else ""

    return converge(
        name,
        desired={"text": names.render(text(), hosts, aliases or {})},
        observe=lambda: {"text": text()},
        act=lambda changes: _write(path, changes["text"]["new"]),
        test=__opts__["test"],
        errors=(OSError,),
    )


def _write(path, text):
    """Replace the file at once; where it is a mount of its own (containers), write into it."""
    new = path.with_name(f".{path.name}.saltern")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o644)
    try:
        os.replace(new, path)  # noqa: PTH105 - one call that either happened or did not
    except OSError as exc:
        new.unlink()
        if exc.errno not in (errno.EBUSY, errno.EXDEV):
            raise
        path.write_text(text, encoding="utf-8")
