"""The node image: a base from mmdebstrap, then lab/Containerfile. Rebuilt when inputs change."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
import shutil
import ssl
import sys
from collections.abc import Callable, Iterable

from lab import podman, proc, sources
from lab.paths import LAB, ROOT, STATE
from lab.runtime import Runtime
from lab.shape import IMAGE

BASE = "localhost/saltern-base"
SUITE = "trixie"
INPUTS = "saltern.inputs"
LOG = STATE / "build.log"
BUILD = STATE / "build"
KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
INCLUDE = "debian-archive-keyring,ca-certificates"
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")

Say = Callable[[str], None]


def files(root: pathlib.Path = ROOT) -> list[pathlib.Path]:
    """Everything that the image is made of, besides packages."""
    lab = root / "lab"
    found = [lab / "Containerfile", lab / "packages-extra.txt", root / "requirements.txt"]
    found += [
        path for name in ("image", "canary") for path in (lab / name).rglob("*") if path.is_file()
    ]
    return sorted(found)


def inputs(paths: Iterable[pathlib.Path], root: pathlib.Path = ROOT) -> str:
    """One name for the content, place and mode of ``paths``."""
    digest = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(
            f"{path.relative_to(root)} {path.stat().st_mode & 0o777:o} {content}\n".encode()
        )
    return digest.hexdigest()[:16]


def stale() -> str:
    """Why the image must be built; empty when it is what the files say."""
    if not podman.image_id(IMAGE):
        return "there is no image yet"
    if podman.image_label(IMAGE, INPUTS) != inputs(files()):
        return "its files have changed"
    return ""


def build(runtime: Runtime, say: Say, fresh: bool = False) -> None:
    """Build base and image. ``fresh`` asks the mirror again for everything."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_text("")
    mounts = _prepare()
    if fresh or not podman.image_id(BASE):
        say(f"base system: mmdebstrap {SUITE}")
        _base(runtime)
    context = STATE / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    for path in files():
        below = path.relative_to(LAB) if path.is_relative_to(LAB) else path.relative_to(ROOT)
        (context / below).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, context / below)
    command = [
        "podman",
        *runtime.flags,
        "build",
        "--network=host",
        "--format=docker",
        "--layers",
        "--jobs=2",
        *(["--no-cache"] if fresh else []),
        *runtime.ulimits,
        f"--volume={BUILD}:/run/build:rw",
        *(f"--volume={here}:{there}:ro" for here, there in mounts.items()),
        f"--label={INPUTS}={inputs(files())}",
        f"--tag={IMAGE}",
        f"--file={context / 'Containerfile'}",
        str(context),
    ]
    proc.follow(command, LOG, lambda line: say(line[:70]) if "STEP" in line else None)
    _forget_old_layers(LOG.read_text(encoding="utf-8"))


def used_layers(log: str) -> list[str]:
    """Ids, or the start of ids, of every image that a build made or took from its cache."""
    return re.findall(r"^--> (?:Using cache )?([0-9a-f]{11,64})$", log, re.MULTILINE)


def _forget_old_layers(log: str) -> None:
    """Remove images without a name that the last build had no use for, unless a machine still has.

    Not by ``podman image prune``: that also takes the stages which the next build would reuse.
    """
    used = used_layers(log)
    filters = ("--filter=dangling=true", "--filter=label=saltern.lab")
    for old in podman.podman("image", "ls", "--quiet", "--no-trunc", *filters).split():
        if not old.removeprefix("sha256:").startswith(tuple(used)):
            podman.podman("image", "rm", old, check=False)


def _prepare() -> dict[str, str]:
    """Write what the build must know of this host; returns the pip directories to mount."""
    BUILD.mkdir(parents=True, exist_ok=True)
    archive, security, keyring = sources.debian(_host_sources(), _codename(), _default_archive)
    archive = os.environ.get("SALTERN_DEBIAN_MIRROR", archive)
    shutil.copyfile(keyring or KEYRING, BUILD / "keyring.gpg")
    for name, place in (
        ("sources.list", "/run/build/keyring.gpg"),
        ("host.list", str(BUILD / "keyring.gpg")),
    ):
        (BUILD / name).write_text(sources.sources_list(archive, security, SUITE, place))
    options = sources.acquire_options(proc.out(["apt-config", "dump"]))
    (BUILD / "apt.conf").write_text("\n".join([sources.APT_CONF.rstrip(), *options, ""]))
    auth = BUILD / "auth.conf"
    auth.touch(mode=0o600)
    known = [
        pathlib.Path("/etc/apt/auth.conf"),
        *sorted(pathlib.Path("/etc/apt/auth.conf.d").glob("*.conf")),
    ]
    auth.write_text("\n".join(path.read_text() for path in known if path.is_file()))
    bundle = (
        os.environ.get("SSL_CERT_FILE")
        or ssl.get_default_verify_paths().cafile
        or "/etc/ssl/certs/ca-certificates.crt"
    )
    shutil.copyfile(bundle, BUILD / "ca.crt")
    configured = sources.pip(proc.out([sys.executable, "-m", "pip", "config", "list"]))
    (BUILD / "pip.conf").write_text(configured.config)
    for place in configured.mounts.values():
        (STATE / pathlib.PurePosixPath(place).relative_to("/run")).mkdir(
            parents=True, exist_ok=True
        )
    return {here: there for here, there in configured.mounts.items() if pathlib.Path(here).is_dir()}


def _default_archive() -> str:
    program = shutil.which("mmdebstrap")
    text = pathlib.Path(program).read_text(encoding="utf-8") if program else ""
    return os.environ.get("SALTERN_DEBIAN_MIRROR") or sources.default_archive(text)


def _host_sources() -> list[sources.Source]:
    parts = pathlib.Path("/etc/apt/sources.list.d")
    found = [
        pathlib.Path("/etc/apt/sources.list"),
        *sorted(parts.glob("*.list")),
        *sorted(parts.glob("*.sources")),
    ]
    return [
        source
        for path in found
        if path.is_file()
        for source in sources.parse(path.read_text(encoding="utf-8"), path.suffix == ".sources")
    ]


def _codename() -> str:
    """The release this host runs, when it is Debian."""
    release = pathlib.Path("/etc/os-release").read_text(encoding="utf-8")
    fields = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    return fields.get("VERSION_CODENAME", "").strip('"') if fields.get("ID") == "debian" else ""


def _base(runtime: Runtime) -> None:
    """A minimal system straight from the package mirror, imported as an image."""
    tarball = BUILD / "base.tar"
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    options = [
        f"--aptopt={line}" for line in sources.acquire_options(proc.out(["apt-config", "dump"]))
    ]
    proc.follow(
        [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={INCLUDE}",
            *excluded,
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            *options,
            "--customize-hook=rm -f $1/etc/apt/apt.conf.d/99mmdebstrap $1/etc/apt/sources.list"
            " $1/etc/hostname $1/etc/resolv.conf; : > $1/etc/machine-id",
            SUITE,
            str(tarball),
            str(BUILD / "host.list"),
        ],
        LOG,
    )
    podman.podman(*runtime.flags, "import", "--change=LABEL saltern.lab=image", str(tarball), BASE)
    tarball.unlink()
