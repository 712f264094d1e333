"""What systemd says, and what follows from it."""

from __future__ import annotations

import dataclasses

import pytest
from saltern import units

SHOWN = """\
Type=simple
Result=success
NRestarts=0
NeedDaemonReload=no
ExecMainStartTimestamp=Sun 2026-11-22 10:41:03.250000 UTC
ActiveEnterTimestamp=Sun 2026-11-22 10:41:04.000000 UTC
MainPID=812
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled

LoadState=not-found
ActiveState=inactive
SubState=dead
NeedDaemonReload=no
ExecMainStartTimestamp=
Job=71
"""
STARTED = 1795344063.25
UP = units.parse_show(["keystone", "ghost"], SHOWN)["keystone"]


def test_one_answer_describes_all_units_in_the_order_asked() -> None:
    seen = units.parse_show(["keystone", "ghost"], SHOWN)
    assert seen["keystone"] == units.Unit(
        name="keystone",
        load="loaded",
        file_state="enabled",
        active="active",
        sub="running",
        type="simple",
        result="success",
        restarts=0,
        pid=812,
        queued=False,
        needs_reload=False,
        started=STARTED,
    )
    ghost = seen["ghost"]
    assert (ghost.exists, ghost.up, ghost.enabled, ghost.coming) == (False, False, False, True)
    assert ghost.started is None


@pytest.mark.parametrize("text", ["", SHOWN])
def test_an_answer_for_other_units_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="answered for"):
        units.parse_show(["one"], text)


def test_a_name_may_leave_out_the_type() -> None:
    assert units.full_name("keystone") == "keystone.service"
    assert units.full_name("libvirtd.socket") == "libvirtd.socket"


def test_an_init_script_s_unit_is_not_enabled_because_the_real_file_is_not_read_yet() -> None:
    assert not dataclasses.replace(UP, file_state="generated").enabled
    assert not dataclasses.replace(UP, file_state="masked").enabled
    assert dataclasses.replace(UP, file_state="static").enabled
    assert dataclasses.replace(UP, load="masked", file_state="").masked


@pytest.mark.parametrize(
    ("changes", "after", "outcome"),
    [
        ({}, 10.0, "up"),
        ({}, 0.1, "waiting"),  # alive, but only just
        ({"type": "notify"}, 0.1, "up"),
        ({"started": None}, 0.1, "up"),
        ({"active": "activating"}, 10.0, "waiting"),
        ({"active": "failed"}, 10.0, "failed"),
        ({"load": "not-found"}, 10.0, "failed"),
        ({"restarts": 3}, 10.0, "failed"),
    ],
)
def test_how_a_start_goes(changes: dict[str, object], after: float, outcome: str) -> None:
    unit = dataclasses.replace(UP, **changes)  # type: ignore[arg-type]
    assert units.progress(unit, STARTED + after) == outcome


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "active (running)"),
        ({"sub": ""}, "active"),
        ({"load": "not-found"}, "no such unit"),
        ({"load": "masked"}, "masked"),
        ({"load": "bad-setting"}, "its unit file is unusable (bad-setting)"),
        (
            {"active": "activating", "sub": "auto-restart", "result": "exit-code", "restarts": 4},
            "activating (auto-restart), exit-code, restarted 4 times by systemd",
        ),
    ],
)
def test_what_is_wrong_in_words(changes: dict[str, object], words: str) -> None:
    assert units.describe(dataclasses.replace(UP, **changes)) == words  # type: ignore[arg-type]


def test_only_files_changed_after_the_start_are_newer() -> None:
    assert units.newer({"/b": 5.0, "/a": 4.2, "/c": 4.0}, 4.0) == ["/a", "/b"]
    assert units.newer({"/a": 5.0}, None) == []


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("connection = mysql+pymysql://nova:s3cret@10.0.0.1/nova", "s3cret"),
        ("transport_url rabbit://openstack:s3cret@a:5672,openstack:s3cret@b:5672/v", "s3cret"),
        ("admin_password = s3cret", "s3cret"),
        ('{"auth_token": "s3cret"}', "s3cret"),
    ],
)
def test_log_lines_lose_their_secrets(line: str, clean: str) -> None:
    scrubbed = units.scrub([line, "plain"])
    assert clean not in scrubbed[0]
    assert "***" in scrubbed[0]
    assert scrubbed[1] == "plain"
