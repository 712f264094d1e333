"""
What the services need in RabbitMQ: their vhost, with quorum queues, and their account.

.. code-block:: yaml

    rabbitmq-access:
      rabbitmq_cluster.access:
        - name: openstack
        - user: openstack
        - pillar: cloud:values:rabbitmq:access:password
"""

from salt.exceptions import CommandExecutionError
from saltern.converge import converge

__virtualname__ = "rabbitmq_cluster"


def __virtual__():
    if "rabbitmq_cluster.access" in __salt__:
        return __virtualname__
    return False, "rabbitmq_cluster: the execution module did not load"


def access(name, user, pillar, default_queue_type="quorum"):
    """
    Ensure the vhost ``name`` exists, ``user`` may do everything in it, and ``guest`` is gone.

    name
        The vhost.

    user
        The account that all services share.

    pillar
        Where in the pillar its password is: a password in the state itself would be in the job
        cache. One that was changed there is noticed, and set.

    default_queue_type
        Type of a queue whose creator asks for none.
    """
    return converge(
        name,
        desired={
            "vhost": True,
            "default_queue_type": default_queue_type,
            "user": True,
            "password": "as specified",
            "permissions": True,
            "guest": False,
        },
        observe=lambda: __salt__["rabbitmq_cluster.access"](name, user, pillar),
        act=lambda changes: __salt__["rabbitmq_cluster.set_access"](
            name, user, pillar, default_queue_type
        ),
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )
