"""The host's package configuration, as the image build needs it."""

from __future__ import annotations

import pytest

from lab import sources

ONE_LINE = """
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/ours.gpg] http://mirror.example/debian bookworm main
deb http://mirror.example/security bookworm-security main
deb-src http://mirror.example/debian bookworm main
deb https://vendor.example/apt stable main
"""
DEB822 = """
Types: deb
# a snapshot
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/ours.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Enabled: no

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
"""


def nobody() -> str:
    """No default is asked for while the host names a mirror."""
    raise AssertionError


def test_both_formats_give_the_same_mirror() -> None:
    wanted = (
        "http://mirror.example/debian",
        "http://mirror.example/security",
        "/usr/share/keyrings/ours.gpg",
    )
    assert sources.debian(sources.parse(ONE_LINE, deb822=False), "bookworm", nobody) == wanted
    assert sources.debian(sources.parse(DEB822, deb822=True), "bookworm", nobody) == wanted


def test_a_host_that_is_not_debian_gets_the_mirror_that_mmdebstrap_takes() -> None:
    ubuntu = "deb http://archive.example/ubuntu noble main"
    program = "    my $mirror    = 'http://usual.example/debian';\n"
    found = sources.debian(
        sources.parse(ubuntu, deb822=False), "", lambda: sources.default_archive(program)
    )
    assert found == ("http://usual.example/debian", "http://usual.example/debian-security", "")


def test_without_any_mirror_the_way_to_name_one_is_told() -> None:
    with pytest.raises(sources.NoMirror, match="SALTERN_DEBIAN_MIRROR"):
        sources.default_archive("")


def test_an_inline_key_is_no_keyring_file() -> None:
    source = sources.Source("http://m.example", ("trixie",), "-----BEGIN PGP")
    assert sources.debian([source], "trixie", nobody) == ("http://m.example", "", "")


def test_the_list_is_for_the_nodes_release() -> None:
    text = sources.sources_list("http://a", "http://s", "trixie", "/k.gpg")
    assert text.splitlines() == [
        "deb [signed-by=/k.gpg] http://a trixie main",
        "deb [signed-by=/k.gpg] http://a trixie-updates main",
        "deb [signed-by=/k.gpg] http://s trixie-security main",
    ]
    assert "security" not in sources.sources_list("http://a", "", "trixie", "/k.gpg")


def test_proxies_and_checks_are_passed_on_but_no_files() -> None:
    dump = """Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::https::mirror.example::Proxy "DIRECT";
Acquire::https::CAInfo "/etc/ssl/own.pem";
Acquire::Check-Valid-Until "false";
Acquire::Languages:: "none";
APT::Get::Assume-Yes "1";"""
    assert sources.acquire_options(dump) == [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::https::mirror.example::Proxy "DIRECT";',
        'Acquire::Check-Valid-Until "false";',
    ]


def test_local_indexes_are_mounted_with_what_their_pages_link_to() -> None:
    listing = """:env:.find-links='/srv/wheels'
global.extra-index-url='file:///srv/pypi/simple https://index.example/simple'
global.find-links='/somewhere/else'
global.timeout='60'
global.cert='/etc/ssl/own.pem'
freeze.timeout='10'"""
    pip = sources.pip(listing)
    assert pip.mounts == {"/srv/pypi": "/run/build/pip/0", "/srv/wheels": "/run/build/pip/1"}
    assert pip.config.splitlines() == [
        "[global]",
        "cert = /run/build/ca.crt",
        "extra-index-url = file:///run/build/pip/0/simple https://index.example/simple",
        "find-links = /run/build/pip/1",
        "timeout = 60",
    ]
