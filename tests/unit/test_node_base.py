"""The hosts file, answers for package questions, and versions of packages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from saltern import debconf, hosts, versions

OURS = {"ctl1": "10.77.0.11", "lb1": "10.77.0.5"}
INSTALLED = """\
# a machine as Debian's installer leaves it
127.0.0.1\tlocalhost
127.0.1.1\tctl1.example.com ctl1
10.0.0.9 nas ctl1 # the old one
10.0.0.10 printer
"""


def test_other_lines_stay_but_lose_our_names() -> None:
    assert hosts.render(INSTALLED, OURS, {"lab-internal": "10.77.0.10"}).splitlines() == [
        "# a machine as Debian's installer leaves it",
        "127.0.0.1\tlocalhost",
        "10.0.0.9\tnas # the old one",
        "10.0.0.10 printer",
        hosts.BEGIN,
        "10.77.0.11\tctl1",
        "10.77.0.5\tlb1",
        "10.77.0.10\tlab-internal",
        hosts.END,
    ]


def test_a_node_that_left_is_forgotten() -> None:
    before = hosts.render(INSTALLED, OURS, {})
    after = hosts.render(before + "10.0.0.11 added\n", {"ctl1": "10.77.0.11"}, {})
    assert "lb1" not in after
    assert "10.0.0.11 added" in after


@given(st.text(alphabet="ab1. #\t\n", max_size=80))
def test_writing_twice_is_writing_once(text: str) -> None:
    once = hosts.render(text, OURS, {})
    assert hosts.render(once, OURS, {}) == once


def test_answers_are_found_in_debconf_s_database() -> None:
    answers = debconf.parse_answers(
        "# package question type answer\n\nkeystone keystone/configure_db boolean false\n"
        "horizon horizon/empty string\n"
    )
    assert answers == {"keystone/configure_db": "false", "horizon/empty": ""}
    database = "Name: keystone/configure_db\nTemplate: x\nValue: false\n\nName: a/b\nOwners: c\n\n"
    assert debconf.parse_database(database) == {"keystone/configure_db": "false"}


def test_packages_are_named_by_their_units() -> None:
    assert versions.packages_of(["mariadb", "keystone"]) == [
        "galera-4",
        "keystone",
        "mariadb-server",
    ]
    listing = "installed keystone 2:27.0.0-3\nnot-installed nova-api \nconfig-files old 1\n"
    assert versions.parse_dpkg(listing) == {"keystone": "2:27.0.0-3"}


@pytest.mark.parametrize(
    ("packages", "release"),
    [
        ({"keystone": "2:27.0.0-3+deb13u5"}, "2025.1"),
        ({"nova-compute": "31.0.0-6"}, "2025.1"),
        ({"keystone": "2:99.0.0-1"}, None),
        ({"haproxy": "3.0.11-1", "keystone": "strange"}, None),
        ({}, None),
    ],
)
def test_the_release_follows_from_keystone_or_nova(
    packages: dict[str, str], release: str | None
) -> None:
    assert versions.release(packages) == release
