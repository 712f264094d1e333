"""``python -m bench``: every benchmark; what needs the lab is skipped without it."""

from __future__ import annotations

import sys

from bench import day, deploy, faults, harness, health, idle, pillar, reactor

sys.exit(
    max(
        harness.run(pillar.TITLE, pillar.measure),
        harness.run(idle.TITLE, idle.measure),
        harness.run(health.TITLE, health.measure),
        harness.run(deploy.TITLE, lambda: deploy.measure(False)),
        harness.run(faults.TITLE, faults.measure),
        harness.run(day.TITLE, day.measure),
        harness.run(reactor.TITLE, lambda: reactor.measure(reactor.arguments(["--long"]))),
    )
)
