"""How an API that Debian runs under uWSGI listens, logs and is sized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from saltern.cloud import Cloud
from saltern.values import common


def application(
    cloud: Cloud,
    node: str,
    service: str,
    *,
    unit: str,
    wsgi_file: str,
    threads: int = 8,
    harakiri: int = 120,
    plugins: Sequence[str] = ("python3",),
    options: Mapping[str, Sequence[str]] | None = None,
    processes: int = 1,
) -> dict[str, Any]:
    """Values of ``salt/openstack/files/uwsgi.ini.j2`` and ``uwsgi-unit.conf.j2``.

    unit
        The systemd unit; Debian names the ini file and the log after it.
    wsgi_file
        The script that holds the WSGI application.
    threads
        Requests that one process answers at a time.
    harakiri
        Seconds after which a process with a stuck request is replaced; 0 lets it hang.
    plugins
        uWSGI plugins to load.
    options
        Further lines of the ini file, by key (``pyargv``, ``env``, ...).
    processes
        The fewest that make sense, whatever the option ``workers`` says.
    """
    project = cloud.project(service)
    workers = common.workers(cloud)
    return {
        "unit": unit,
        "user": project,
        "ini": f"/etc/{project}/{unit}-uwsgi.ini",
        "log": f"/var/log/{project}/{unit}.log",
        "socket": f"{cloud.address(node)}:{cloud.listen_port(service)}",
        "wsgi_file": wsgi_file,
        "workers": max(processes, workers) if isinstance(workers, int) else workers,
        "threads": threads,
        "harakiri": harakiri,
        "plugins": ",".join(plugins),
        "options": {key: list(lines) for key, lines in (options or {}).items()},
    }
