"""
The test of a deployment: every API answers, and an instance gets what a guest needs.

What it makes has names that start with ``saltern-validate-``; it is removed at the end, and before
the start in case an earlier run was killed.
"""

import contextlib
import time

import saltern_canary
import saltern_sdk
from salt.exceptions import CommandExecutionError
from saltern import validation

__virtualname__ = "cloud_validation"

READ_TIMEOUT = 20  # seconds for one read of an API


def __virtual__():
    return __virtualname__


class _Report:
    """The checks so far; a check that fails does not stop the next one."""

    def __init__(self):
        self.checks = []

    def add(self, name, ok, detail, since):
        seconds = round(time.monotonic() - since, 1)
        self.checks.append({"name": name, "ok": ok, "seconds": seconds, "detail": detail})

    @contextlib.contextmanager
    def step(self, name):
        """Around work that fails by raising. Yields a list for words about what was found."""
        since, words = time.monotonic(), []
        try:
            yield words
        except saltern_canary.errors() as exc:
            self.add(name, False, f"{exc}" or type(exc).__name__, since)
            raise _Stop from exc
        self.add(name, True, " ".join(words) or "ok", since)


class _Stop(Exception):
    """What comes next makes no sense any more; the reason is in the report."""


def run(image="/usr/share/saltern/canary.raw", timeout=300, hosts=None):
    """
    Validate the cloud from this node, with real tokens, through the virtual addresses.

    image
        Raw disk of the canary: a path on this node, or ``salt://...`` on the master's file server.

    timeout
        Seconds that an instance may take from being asked for to having said everything.

    hosts
        Computes that get an instance each: a list, or ``all``. Default: one, wherever it fits.

    Returns ``{ok: True, checks: [{name, ok, seconds, detail}, ...]}``. Raises CommandExecutionError
    with the first failures when a check fails. Everything is removed in any case.

    CLI Example:

    .. code-block:: bash

        salt ctl1 cloud_validation.run hosts=all
    """
    try:
        conn = saltern_sdk.connect(__pillar__)
    except (LookupError, ImportError) as exc:
        raise CommandExecutionError(str(exc)) from exc
    report = _Report()
    with conn:
        try:
            with report.step("token"):
                conn.authorize()
            _apis(conn, report)
            with report.step("nothing left of an earlier run") as words:
                words.append(saltern_canary.clean(conn))
            try:
                with contextlib.suppress(_Stop):
                    _instances(conn, report, image, timeout, hosts)
            finally:
                with report.step("everything removed") as words:
                    words.append(saltern_canary.clean(conn))
        except _Stop:
            pass
    if not validation.verdict(report.checks):
        raise CommandExecutionError(
            f"{validation.complaint(report.checks)}; next: salt '*' openstack.health"
        )
    return {"ok": True, "checks": report.checks}


def clean():
    """
    Remove what a validation that was killed has left behind.

    Returns what was removed, in words. Raises CommandExecutionError when something stays.

    CLI Example:

    .. code-block:: bash

        salt ctl1 cloud_validation.clean
    """
    try:
        with saltern_sdk.connect(__pillar__) as conn:
            return saltern_canary.clean(conn)
    except (LookupError, ImportError, *saltern_canary.errors()) as exc:
        raise CommandExecutionError(f"validation's leftovers: {exc}") from exc


def _apis(conn, report):
    """One read of each entry of the catalogue, at each of its URLs."""
    catalog = conn.session.auth.get_access(conn.session).service_catalog.catalog
    seen = set()
    for entry in sorted(catalog, key=lambda entry: entry["type"]):
        for endpoint in entry["endpoints"]:
            url = validation.read_url(entry["type"], endpoint["url"])
            if endpoint["region"] != conn.config.region_name or url in seen:
                continue
            seen.add(url)
            since = time.monotonic()
            try:
                answer = conn.session.get(url, timeout=READ_TIMEOUT, raise_exc=False)
                ok, detail = answer.status_code < 300, f"{answer.status_code} {url}"  # noqa: PLR2004
                if entry["type"] not in validation.READS:
                    ok = answer.status_code < 500  # unknown API: it answers  # noqa: PLR2004
            except saltern_canary.errors() as exc:
                ok, detail = False, f"{url}: {exc}"
            report.add(f"{entry['type']} API ({endpoint['interface']})", ok, detail, since)


def _instances(conn, report, image, timeout, hosts):
    wanted = __pillar__["cloud"]["values"]["nova"]["validation"]
    name = saltern_canary.new_name()
    with report.step("image upload"):
        disk = saltern_canary.upload(conn, name, saltern_canary.disk(image, __salt__))
    with report.step("network") as words:
        network, routed = saltern_canary.network(conn, name, wanted, router=True)
        words.append("with a router" if routed else "of a provider")
    with report.step("flavor"):
        flavor = saltern_canary.smallest(conn, name)
    with report.step("hosts") as words:
        chosen = _hosts(conn, hosts)
        words.append(", ".join(chosen) if hosts else "any")
    since = time.monotonic()
    servers = {}
    for host in chosen:
        label = f"instance on {host}" if host else "instance"
        with report.step(f"{label}: asked for"):
            servers[label] = saltern_canary.ask(conn, name, host, disk, flavor, network)
    for label, server in servers.items():
        with contextlib.suppress(_Stop):  # one that fails says nothing of the others
            _watch(conn, report, label, server, since, timeout, routed)


def _hosts(conn, hosts):
    """Computes to try; [None] leaves the choice to the scheduler."""
    if not hosts:
        return [None]
    if hosts != "all":
        return [hosts] if isinstance(hosts, str) else list(hosts)
    found = conn.compute.services(binary="nova-compute")
    return sorted(s.host for s in found if s.state == "up" and s.status == "enabled")


def _watch(conn, report, label, server, since, timeout, routed):
    deadline = since + timeout
    with report.step(f"{label}: active") as words:
        server = saltern_canary.until_active(conn, server, deadline)
        words.append(f"on {server.compute_host}")
    said = saltern_canary.heard(conn, server, deadline)
    address = saltern_canary.address(server)
    for name, ok, detail in validation.instance_checks(said, address, routed=routed):
        report.add(f"{label}: {name}", ok, detail, since)
