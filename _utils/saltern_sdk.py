"""A connection to the cloud's own APIs, for modules. The SDK is imported only when it is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: Seconds until one request to an API counts as failed.
API_TIMEOUT = 30


def connect(pillar: Mapping[str, Any], interface: str = "internal") -> Any:
    """An ``openstack.connection.Connection`` as the service user of Nova, who may do everything.

    Only nodes with a control service of Nova hold its password.

    :raises LookupError: when this node does not.
    """
    try:
        user = pillar["cloud"]["values"]["nova"]["config"]["service_user"]
    except KeyError as exc:
        raise LookupError(
            "this node runs no control service of Nova and holds no password for the APIs; run it"
            " on a controller"
        ) from exc
    import openstack

    kinds = ("auth_url", "username", "password", "project_name")
    domains = ("user_domain_name", "project_domain_name")
    return openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth={key: user[key] for key in (*kinds, *domains)},
        region_name=user["region_name"],
        interface=interface,
        api_timeout=API_TIMEOUT,
    )


@contextlib.contextmanager
def session(
    pillar: Mapping[str, Any], error: Callable[[str], Exception], api: str
) -> Iterator[Any]:
    """A connection whose every failure, from no password to no answer, ends as one ``error``."""
    try:
        conn = connect(pillar)
    except (LookupError, ImportError) as exc:
        raise error(str(exc)) from exc
    try:
        with conn:
            yield conn
    except errors() as exc:
        raise error(
            f"{api}'s API: {exc}; see whether it answers: salt '*' openstack.health"
        ) from exc


def errors() -> tuple[type[Exception], ...]:
    """What a request to an API can end with."""
    import keystoneauth1.exceptions
    import openstack.exceptions

    return (openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException)
