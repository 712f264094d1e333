"""What Nova's rows, Open vSwitch's tables and the canary's console mean."""

from __future__ import annotations

from saltern import nova, ovs, validation

CONSOLE = """[    0.1] Linux\r
SALTERN CANARY UP 198.18.77.5\r
SALTERN CANARY GATEWAY OK 198.18.77.1\r
SALTERN CANARY METADATA OK saltern-validate-1\r
SALTERN CANARY READY 3.1s\r
"""


def test_cells_by_name_and_a_name_that_is_there_twice() -> None:
    rows = [("u0", "cell0", "d0", "none:///"), ("u1", "cell1", "d", "t"), ("u2", "cell1", "d", "t")]
    found = nova.cells(rows)
    assert found["cell0"] == [{"uuid": "u0", "database": "d0", "transport": "none:///"}]
    assert [cell["uuid"] for cell in found["cell1"]] == ["u1", "u2"]


def test_a_service_in_few_words() -> None:
    record = {"binary": "nova-compute", "host": "cmp1", "state": "up", "status": "disabled"}
    found = nova.service(record)
    assert (found["up"], found["enabled"], found["reason"]) == (True, False, None)


def test_tables_of_open_vswitch() -> None:
    table = {
        "headings": ["name", "ports", "ids", "_uuid"],
        "data": [["br", ["set", [["uuid", "a"]]], ["map", [["k", "v"]]], ["uuid", "b"]]],
    }
    assert ovs.rows(table) == [{"name": "br", "ports": ["a"], "ids": {"k": "v"}, "_uuid": "b"}]
    assert ovs.as_list("a") == ["a"] and ovs.as_list(["a"]) == ["a"]
    assert ovs.quoted("tcp:1,2") == '"tcp:1,2"'


def test_an_api_is_read_below_its_url_in_the_catalogue() -> None:
    assert validation.read_url("compute", "http://v:8774/v2.1/").endswith("/v2.1/flavors?limit=1")
    assert validation.read_url("dns", "http://v:9001") == "http://v:9001/"


def test_a_canary_that_got_everything() -> None:
    said = validation.console(CONSOLE)
    assert validation.finished(said)
    checks = validation.instance_checks(said, "198.18.77.5", routed=True)
    assert [ok for _, ok, _ in checks] == [True, True, True]


def test_a_canary_with_somebody_elses_address() -> None:
    checks = validation.instance_checks(validation.console(CONSOLE), "198.18.77.9", routed=False)
    assert [(name, ok) for name, ok, _ in checks] == [
        ("address by DHCP", False),
        ("metadata", True),
    ]


def test_a_canary_that_got_nothing() -> None:
    said = validation.console(
        "SALTERN CANARY DHCP FAILED\nSALTERN CANARY GATEWAY FAILED none given"
    )
    assert not validation.finished(said)
    details = [detail for *_, detail in validation.instance_checks(said, "x", routed=True)]
    assert details == ["no lease", "FAILED none given", "it said nothing of metadata"]


def test_a_canary_that_never_spoke() -> None:
    checks = validation.instance_checks({}, "x", routed=True)
    assert not any(ok for _, ok, _ in checks)
    assert checks[0][2] == "it said nothing of an address"
    assert validation.finished({"nic": "FAILED"})


def test_a_verdict_needs_checks_and_all_of_them_good() -> None:
    good = {"name": "a", "ok": True, "detail": ""}
    bad = [{"name": f"b{n}", "ok": False, "detail": "no"} for n in range(5)]
    assert validation.verdict([good]) and not validation.verdict([])
    assert not validation.verdict([good, *bad])
    assert validation.complaint(bad) == "b0: no; b1: no; b2: no; and 2 more"
    assert validation.complaint(bad[:1]) == "b0: no"
