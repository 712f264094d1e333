"""Where this machine gets its packages from, for building an image on it.

Pure: text in, text out. :mod:`lab.image` reads the files and puts the results under /run/build,
which is mounted while the image is built and does not become part of it.
"""

from __future__ import annotations

import pathlib
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """One apt source: where, which suites, and the keyring that proves it ('' when apt's own)."""

    uri: str
    suites: tuple[str, ...]
    keyring: str


def parse(text: str, deb822: bool) -> Iterator[Source]:
    """The binary sources in one sources file."""
    if deb822:
        uncommented = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        for stanza in re.split(r"\n\s*\n", uncommented):
            fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
            if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes") != "no":
                for uri in fields.get("URIs", "").split():
                    yield Source(
                        uri, tuple(fields.get("Suites", "").split()), fields.get("Signed-By", "")
                    )
        return
    for line in text.splitlines():
        match = re.match(
            r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)", line.strip()
        )
        if match:
            options = dict(
                pair.split("=", 1) for pair in (match["options"] or "").split() if "=" in pair
            )
            yield Source(match["uri"], (match["suite"],), options.get("signed-by", ""))


class NoMirror(LookupError):
    """Nobody says where Debian's packages are; the message says how to."""


def default_archive(mmdebstrap: str) -> str:
    """The mirror that mmdebstrap takes when nobody names one, out of its own program text.

    For hosts that are not Debian: their apt sources name no Debian mirror.

    :raises NoMirror: when the text names none.
    """
    found = re.search(r"""\$mirror\s*=\s*['"](https?://[^'"]+)['"]""", mmdebstrap)
    if not found:
        raise NoMirror("no Debian mirror is known here; name one in SALTERN_DEBIAN_MIRROR")
    return found[1].rstrip("/")


def debian(
    sources: Iterable[Source], codename: str, default: Callable[[], str]
) -> tuple[str, str, str]:
    """The host's Debian mirror: (archive, security, keyring); ``default`` where it has none.

    ``codename`` is the host's own release (empty: not Debian), by which its Debian sources are told
    from other people's; the same mirrors have the release that the nodes run.
    """
    archive = security = keyring = ""
    for source in sources:
        if codename and codename in source.suites:
            archive, keyring = archive or source.uri, keyring or source.keyring
        elif codename and f"{codename}-security" in source.suites:
            security = security or source.uri
    if not archive:
        archive = default()
        return archive, f"{archive}-security", ""
    return archive, security, keyring if keyring.startswith("/") else ""


def sources_list(archive: str, security: str, suite: str, keyring: str) -> str:
    """``sources.list`` for ``suite`` on these mirrors, proved by ``keyring``."""
    lines = [(archive, suite), (archive, f"{suite}-updates")]
    if security:
        lines.append((security, f"{suite}-security"))
    return "".join(f"deb [signed-by={keyring}] {uri} {name} main\n" for uri, name in lines)


def acquire_options(apt_config_dump: str) -> list[str]:
    """What the host tells apt about reaching its mirrors; file names are left out."""
    wanted = re.compile(
        r"Acquire::(https?::[\w:./-]+|Retries|Check-Valid-Until|Check-Date) \"([^\"]*)\";$"
    )
    return [
        line
        for line in apt_config_dump.splitlines()
        if (match := wanted.match(line)) and match[2] and not match[2].startswith("/")
    ]


APT_CONF = """\
Dir::Etc::SourceList "/run/build/sources.list";
Dir::Etc::SourceParts "-";
Dir::Etc::netrc "/run/build/auth.conf";
Dir::Etc::netrcparts "-";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "root";
APT::Keep-Downloaded-Packages "true";
Binary::apt::APT::Keep-Downloaded-Packages "true";
Acquire::https::CAInfo "/run/build/ca.crt";
"""


@dataclass(frozen=True)
class Pip:
    """pip's configuration for the build, and its local directories as ``{host: in the build}``."""

    config: str
    mounts: Mapping[str, str]


def pip(listing: str, config_home: str = "/run/build/pip") -> Pip:
    """Turn ``pip config list`` into a pip.conf for the build.

    Local indexes are mounted with the directory above them: their pages link to files beside.
    """
    settings: dict[str, str] = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section not in ("global", "install", ":env:") or value[:1] not in "'\"":
            continue
        # The environment counts for more than the files, and it is listed first.
        settings.setdefault(
            {"default-timeout": "timeout"}.get(name, name), value[1:-1].replace("\\n", " ")
        )
    mounts: dict[str, str] = {}
    lines = ["[global]", "cert = /run/build/ca.crt"]
    for name in (
        "index-url",
        "extra-index-url",
        "find-links",
        "trusted-host",
        "no-index",
        "proxy",
        "timeout",
        "retries",
    ):
        if settings.get(name):
            words = [_mapped(word, mounts, config_home) for word in shlex.split(settings[name])]
            lines.append(f"{name} = {' '.join(words)}")
    return Pip("\n".join(lines) + "\n", mounts)


def _mapped(word: str, mounts: dict[str, str], home: str) -> str:
    """``word``, or where the local directory that it names is mounted in the build."""
    path = word.removeprefix("file://")
    if not path.startswith("/"):
        return word
    directory = pathlib.PurePosixPath(path)
    base = (
        directory.parent if word.startswith("file://") and len(directory.parts) > 2 else directory
    )
    place = mounts.setdefault(str(base), f"{home}/{len(mounts)}")
    inside = f"{place}/{directory.relative_to(base)}" if directory != base else place
    return f"file://{inside}" if word.startswith("file://") else inside
