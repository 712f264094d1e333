"""memcached's answer to ``stats``."""

import pytest
from saltern import memcached


def test_stats() -> None:
    text = "STAT pid 1\r\nSTAT version 1.6.38\r\nSTAT bytes 7\r\nSTAT odd\r\nEND\r\n"
    found = memcached.parse_stats(text)
    assert (found["version"], found["bytes"], found["get_hits"]) == ("1.6.38", 7, 0)


def test_something_else_answers() -> None:
    with pytest.raises(ValueError, match="does not speak memcached"):
        memcached.parse_stats("HTTP/1.1 400 Bad Request\r\n")
