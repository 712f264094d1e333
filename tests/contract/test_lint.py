"""Each check of tools/lint finds what it is there for, and lets its cure pass."""
# ruff: noqa: E501 - a table reads better with one case to a line

from __future__ import annotations

import pytest

from tools import lint

SAMPLES = [
    (lint.long_file, "_modules/a.py", "x\n" * 401, "x\n" * 400),
    (lint.commands_in_states, "salt/a/init.sls", "a:\n  cmd.run:\n", "a:\n  unit.running:\n"),
    (lint.commands_in_states, "salt/a/init.sls", "    - order: 1\n", "    - require: []\n"),
    (lint.sleeping, "salt/a/files/a.j2", "sleep 5\n", "# sleep is bad\n"),
    (lint.sleeping, "_utils/saltern/a.py", "time.sleep(1)\n", "sleepers = 1\n"),
    (lint.lab_addresses, "salt/a/init.sls", "- vip: 10.77.0.10\n", "- vip: {{ v.vip }}\n"),
    (lint.private_places, "lab/x.sh", "cd /work/main\n", "cd /srv/network/mainframe\n"),
    (lint.impure_decisions, "_utils/saltern/a.py", "import time\n", "import timeit\n"),
    (lint.impure_decisions, "_utils/saltern/a.py", "from salt.x import y\n", "from saltern import y\n"),
    (lint.impure_decisions, "_utils/saltern/a.py", "x = datetime.now()\n", "x = now\n"),
    (lint.impure_decisions, "_utils/saltern/a.py", "import urllib.request\n", "import urllib.parse\n"),
    (lint.impure_decisions, "_utils/saltern/a.py", "open('x')\n", "reopen('x')\n"),
    (lint.heavy_imports, "_modules/a.py", "import openstack\n", "def f():\n    import openstack\n"),
    (lint.shells, "_modules/a.py", "run(x, shell=True)\n", "run(x)\n"),
    (
        lint.dict_methods_in_jinja,
        "salt/a/init.sls",
        "{%- set v = pillar.cloud.values.nova %}\n",
        '{%- set v = pillar.cloud["values"].nova %}{% for k in v.items() %}\n',
    ),
    (lint.surprising_yaml, "catalog/a.yaml", "then: {on: x}\n", "then: {'on': x}\n"),
    (lint.surprising_yaml, "examples/a.yaml", "a: 1\na: 2\n", "a: 1\nb: 2\n"),
    (lint.templates_in_rules, "reactor/a.yaml", "summary: {{ x }}\n", "summary: {x: 1}\n"),
    (lint.unfinished, "_modules/a.py", "# TODO: later\n", "# done\n"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "path", "bad", "good"), SAMPLES)
def test_a_check_finds_the_bad_and_not_the_good(
    check: lint.Check, path: str, bad: str, good: str
) -> None:
    assert list(check(path, bad))
    assert not list(check(path, good))


def test_every_check_has_a_sample() -> None:
    assert {sample[0] for sample in SAMPLES} == set(lint.CHECKS)


def test_a_finding_says_where_and_which_check() -> None:
    [found] = lint.check("salt/a/init.sls", "\na:\n  cmd.run:\n")
    assert found.startswith("salt/a/init.sls:3: commands in states: cmd.run")


def test_places_where_a_check_does_not_apply() -> None:
    for check, _, bad, _ in SAMPLES:
        if check is not lint.private_places and check is not lint.lab_addresses:
            assert not list(check("some/picture.bin", bad))


def test_the_checks_do_not_find_themselves() -> None:
    assert not list(lint.check("tools/lint/__init__.py", "# TODO\n"))
