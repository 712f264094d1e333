"""``python -m bench``: every benchmark; what needs the lab is skipped without it."""

from __future__ import annotations

import sys

from bench import deploy, harness, health, idle, pillar

sys.exit(
    max(
        harness.run(pillar.TITLE, pillar.measure),
        harness.run(idle.TITLE, idle.measure),
        harness.run(health.TITLE, health.measure),
        harness.run(deploy.TITLE, lambda: deploy.measure(False)),
    )
)
