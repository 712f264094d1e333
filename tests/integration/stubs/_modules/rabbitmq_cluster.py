"""A broker that is alone in its cluster and serves."""

__virtualname__ = "rabbitmq_cluster"


def __virtual__():
    return __virtualname__


def observe():
    """The only member."""
    name = f"rabbit@{__pillar__['cloud']['node']}"
    return {"state": "running", "members": [name], "running": [name], "fresh": False, "queues": []}
