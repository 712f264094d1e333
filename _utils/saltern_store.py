"""The files behind a cloud: model, catalog, schemas and secrets, read from one Saltern root.

This is the file system's side of :mod:`saltern`; it decides nothing. What was read is kept per
process for as long as no file changed, so that the cost of a pillar does not grow with requests.
"""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import secrets as entropy
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import yaml
from saltern import faults, secrets
from saltern.cloud import Cloud, ModelError

Resolver = Callable[[str], str]
Made = TypeVar("Made")

_kept: dict[str, tuple[Any, Any]] = {}


class Store:
    """One root directory: the model, its secrets, ``catalog/``, ``schema/`` and ``reactor/``."""

    def __init__(
        self,
        root: str | pathlib.Path,
        model: str | pathlib.Path | None = None,
        secrets_path: str | pathlib.Path | None = None,
    ) -> None:
        self.root = pathlib.Path(root)
        self.model_path = pathlib.Path(model or self.root / "pillar/cloud.yaml")
        self.secrets_path = pathlib.Path(secrets_path or self.model_path.parent / "secrets")

    def catalog(self) -> dict[str, dict[str, Any]]:
        """Service name -> its catalog file."""
        paths = sorted((self.root / "catalog").glob("*.yaml"))
        return _cached(
            f"catalog {self.root}",
            paths,
            lambda: {p.stem: yaml.load(p.read_bytes(), Loader=yaml.CSafeLoader) for p in paths},
        )

    def rules(self) -> dict[str, bytes]:
        """Rule name -> the text of its file, for :func:`saltern.reactor.rules.read`."""
        paths = sorted((self.root / "reactor").glob("*.yaml"))
        return _cached(f"rules {self.root}", paths, lambda: {p.stem: p.read_bytes() for p in paths})

    def examine(self) -> tuple[Cloud | None, list[str]]:
        """The cloud without its secrets, or everything that is wrong with it."""
        paths = [self.model_path, *sorted((self.root / "catalog").glob("*.yaml"))]
        paths += sorted((self.root / "schema").glob("*.json"))
        return _cached(f"cloud {self.model_path}", paths, self._examine)

    def _examine(self) -> tuple[Cloud | None, list[str]]:
        try:
            raw = self.model_path.read_bytes()
        except OSError as exc:
            return None, [f"{self.model_path.name}: {exc}"]
        rules = json.loads((self.root / "schema/cloud.json").read_text(encoding="utf-8"))
        model, found = faults.check(raw, self.catalog(), rules)
        return (None if model is None else Cloud(model, self.catalog())), found

    def cloud(self, resolve: Resolver | None = None) -> Cloud:
        """The cloud with its secrets; those that are missing are generated now.

        resolve
            Turns a reference such as ``sdb://vault/keystone`` into the secret itself.

        :raises ModelError: naming every fault of the model.
        """
        cloud, found = self.examine()
        if cloud is None:
            raise ModelError("; ".join(found))
        held = self.secrets(resolve)
        # Who runs what is worked out once per cloud, not once per node that asks for its share.
        known = _kept.get(f"whole {self.model_path}")
        if known is None or known[0] is not cloud or known[1].secrets != held:
            known = (cloud, Cloud(cloud.model, cloud.catalog, held))
            _kept[f"whole {self.model_path}"] = known
        whole: Cloud = known[1]
        return whole

    def secrets(self, resolve: Resolver | None = None) -> dict[str, str]:
        """``<project>.<name>`` -> secret, for everything the catalog declares."""
        flat = {}
        for project, kinds in secrets.wanted(self.catalog()).items():
            held = self._project_secrets(project, kinds)
            for name, value in held.items():
                is_reference = resolve is not None and value.startswith("sdb://")
                flat[f"{project}.{name}"] = resolve(value) if is_reference and resolve else value
        return flat

    def replace_secret(self, project: str, name: str, change: Callable[[str], str]) -> None:
        """Put ``change(old)`` in the place of a secret, under the lock that generation uses."""
        with self._locked():
            held = self._read(project)
            held[name] = change(held[name])
            self._write(project, held)

    def _project_secrets(self, project: str, kinds: Mapping[str, str]) -> dict[str, str]:
        path = self.secrets_path / f"{project}.yaml"
        held: dict[str, str] = _cached(f"secret {path}", [path], lambda: self._read(project))
        if kinds.keys() <= held.keys():
            return held
        with self._locked():
            held = self._read(project)  # another worker may have been first
            missing = {n: k for n, k in kinds.items() if n not in held}
            if missing:
                made = {n: secrets.generate(k, entropy.token_bytes) for n, k in missing.items()}
                held = {**held, **made}
                self._write(project, held)
        return held

    def _read(self, project: str) -> dict[str, str]:
        path = self.secrets_path / f"{project}.yaml"
        if not path.exists():
            return {}
        held = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(held, dict):
            raise ModelError(f"{path}: not a mapping of secrets; restore it from a backup")
        return held

    def _write(self, project: str, held: Mapping[str, str]) -> None:
        handle, draft = tempfile.mkstemp(dir=self.secrets_path)  # 0600 from the start
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            yaml.safe_dump(dict(held), out, sort_keys=True)
            out.flush()
            os.fsync(out.fileno())
        pathlib.Path(draft).replace(self.secrets_path / f"{project}.yaml")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.secrets_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.secrets_path / ".lock").open("w", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _cached(key: str, paths: list[pathlib.Path], make: Callable[[], Made]) -> Made:
    """``make()``, or what it returned last time if none of ``paths`` changed since."""
    stamp = [(str(p), s.st_mtime_ns, s.st_size) for p in paths if (s := _stat(p))]
    if key not in _kept or _kept[key][0] != stamp:
        _kept[key] = (stamp, make())
    made: Made = _kept[key][1]
    return made


def _stat(path: pathlib.Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
