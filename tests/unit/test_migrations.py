"""How far a database schema is behind the migration scripts on disk."""

from __future__ import annotations

from typing import Any

import pytest
from saltern import migrations

FIRST = "revision = 'a'\ndown_revision = None\n"
SECOND = 'import os\nrevision: str = "b"\ndown_revision: str = "a"\nbranch_labels: str\n'
CONTRACT = "revision = 'c'\ndown_revision = ('a',)\ndepends_on = 'b'\nos.environ['x'] = 1\n"
KNOWN = migrations.revisions([FIRST, SECOND, CONTRACT, "print('not a migration')\n"])


def test_a_script_names_what_it_needs_before_it() -> None:
    assert {"a": frozenset(), "b": {"a"}, "c": {"a", "b"}} == KNOWN


@pytest.mark.parametrize(
    ("stored", "left"),
    [([], ["a", "b", "c"]), (["a"], ["b", "c"]), (["a", "b"], ["c"]), (["c"], [])],
)
def test_what_follows_the_stored_revisions_is_missing(stored: Any, left: Any) -> None:
    assert migrations.missing(KNOWN, stored) == left


def test_a_database_of_newer_code_is_not_touched() -> None:
    with pytest.raises(migrations.Newer, match="at z, which the code here does not know"):
        migrations.missing(KNOWN, ["a", "z"])


def test_a_connection_names_server_user_and_database() -> None:
    found = migrations.target("mysql+pymysql://nova:p%40ss@10.0.0.1:3307/nova?charset=utf8mb3")
    assert found == migrations.Target("10.0.0.1", 3307, "nova", "p@ss", "nova")
    assert "p@ss" not in repr(found)
    other = migrations.target("mysql://10.0.0.1/nova", "nova_cell0")
    assert (other.port, other.user, other.database) == (3306, "", "nova_cell0")


@pytest.mark.parametrize("url", ["", "sqlite:///x", "{scheme}://"])
def test_what_is_no_server_is_refused(url: Any) -> None:
    with pytest.raises(ValueError, match="not a database URL"):
        migrations.target(url)


def test_secrets_are_masked_and_nothing_else() -> None:
    assert migrations.mask("password s3cret of s3cret", ["s3cret", ""]) == "password *** of ***"
