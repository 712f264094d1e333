"""What the fault tests of the lab measured last: ``make faults``."""

from __future__ import annotations

import json
import sys
from typing import Any

from bench import harness
from bench.harness import Row
from lab.paths import STATE

TITLE = "faults on the lab"
RESULTS = STATE / "results"
#: Figures that are no seconds.
NUMBERS = ("F03-starts", "F27")
LOST = ("lb1", "ctl1")
#: Fault -> what its figures are, and what others publish of it.
WHAT = {
    "F01": (
        "F01 API worker killed: longest gap of its node",
        "2.3-8.3 s (Mirantis/Intel lab)",
    ),
    "F02-out": ("F02 API stopped by SIGSTOP: out of the balancer", "10 s (kolla-ansible defaults)"),
    "F02-back": ("F02 API stopped by SIGSTOP: answers again", "never"),
    "deaf-out": ("API's workers stop: out of the balancer", "10 s (kolla-ansible defaults)"),
    "deaf-back": ("API's workers stop: answers again", "never"),
    "F03-breaker": ("F03 crash loop: somebody is told, all else tried", "systemd is silent"),
    "F03-starts": ("F03 crash loop: starts", "5, by systemd"),
    "F04": ("F04 a process of the reactor killed: another works", "81.5 % of events lost"),
    "F06": ("F06 stopped service in a storm of 15,000: answers again", "61 s, 87.4 % lost"),
    "F07": ("F07 master away: a stopped service runs again", "nothing heals"),
    "F08": ("F08 master cut off: somebody is told", ""),
    "F11": ("F11 haproxy killed on the holder: longest gap", "4.6 s (script check every 1 s)"),
    "F23": ("F23 memcached restart: until tokens are as fast as before", "19 s"),
    "F23-calm": ("the same without a restart", ""),
    "F23-spent": ("F23 memcached restart: spent in tokens twice as slow", "19 s"),
    "F23-spent-calm": ("the same without a restart", ""),
    "F26": ("F26 nodes lose power in their join: enabled after power", "rerun by hand"),
    "F27": ("F27 keys accepted at once: times as long as one", "SUSE: one key every 15 s"),
    "F27-work": ("the same: core seconds of this machine for each", ""),
    "F29": ("F29 a service gone from two of three: told, nothing begun", ""),
    **{f"gone-{n}": (f"{n} loses its power: somebody is told", "") for n in LOST},
    "joined": ("key accepted: canary passed, host enabled", "job lost 0.4 s after acceptance"),
    "joined-work": ("the same: core seconds of this machine", ""),
    "killed-agent": ("metadata agent killed: away, beyond a restart", "1 s beacon: 0.58 s"),
    "killed-api": ("API killed: away, beyond a restart", "1 s beacon: 0.58 s"),
    "killed-memcached": ("memcached killed: away, beyond a restart", "1 s beacon: 0.58 s"),
    "killed-nova-compute": (
        "nova-compute killed: away, beyond a restart",
        "1 s beacon: 0.58 s",
    ),
    "stopped": ("service stopped by somebody: runs again", "never"),
}


def rows() -> list[Row]:
    """Median and worst of every fault that was measured."""
    found = []
    for path in sorted(RESULTS.glob("fault-*.json")):
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        name = path.stem.removeprefix("fault-")
        if "runs" not in kept:
            continue
        what, beside = WHAT.get(name, (name, ""))
        runs, unit = len(kept["runs"]), "" if name in NUMBERS else "s"
        found.append(Row(f"{what}, median of {runs}", kept["median"], unit, None, beside))
        found.append(Row(f"{what}, worst", kept["worst"], unit, kept["target"], beside))
    return found


def measure() -> None:
    """Print the table."""
    kept = rows()
    if not kept:
        raise harness.Skipped("nothing was measured yet: make faults")
    harness.show(TITLE, kept)


if __name__ == "__main__":
    sys.exit(harness.run(TITLE, measure))
