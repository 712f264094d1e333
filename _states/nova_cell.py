"""
Keep Nova's cells as the model wants them, each once.

.. code-block:: yaml

    nova-schema-cell1:
      nova_cell.present:
        - name: cell1
        - database: '{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}'
        - transport: '{scheme}://{username}:{password}@{hostname}:{port}/{path}'
"""

from salt.exceptions import CommandExecutionError
from saltern.converge import converge

__virtualname__ = "nova_cell"


def __virtual__():
    if "nova.cells" in __salt__:
        return __virtualname__
    return False, "nova_cell: the execution module did not load"


def present(name, database, transport):
    """
    Ensure that there is exactly one cell of this name, with these URLs.

    name
        Name of the cell.

    database, transport
        URLs as templates, which Nova fills from its own configuration: no password is stored.
    """

    def observe():
        found = __salt__["nova.cells"]().get(name, [])
        seen = {"count": len(found)}
        if found:
            seen |= {key: found[0][key] for key in ("database", "transport")}
        return seen

    def act(changes):
        found = __salt__["nova.cells"]().get(name, [])
        if len(found) > 1:
            raise CommandExecutionError(
                f"{len(found)} cells are called {name} ({', '.join(c['uuid'] for c in found)}):"
                " delete those without hosts: `nova-manage cell_v2 delete_cell --cell_uuid UUID`"
            )
        if found:
            __salt__["nova.update_cell"](found[0]["uuid"], name, database, transport)
        else:
            __salt__["nova.create_cell"](name, database, transport)

    return converge(
        name,
        desired={"count": 1, "database": database, "transport": transport},
        observe=observe,
        act=act,
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )
