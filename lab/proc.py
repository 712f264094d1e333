"""Run commands. A command that fails says what it was and what it printed."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Callable, Mapping, Sequence


class CommandError(RuntimeError):
    """A command failed; the message holds its last lines."""


def run(
    command: Sequence[str],
    *,
    stdin: bytes | None = None,
    check: bool = True,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run ``command`` and keep what it prints.

    :param timeout: seconds; ``None`` waits for ever.
    :raises CommandError: when it fails and ``check`` is set, or takes longer than ``timeout``.
    """
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired as exc:
        raise CommandError(f"{' '.join(command)}: no end after {timeout:.0f} s") from exc
    if check and done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise CommandError(
            f"{' '.join(command)}: exit code {done.returncode}\n" + "\n".join(said[-15:])
        )
    return done


def out(command: Sequence[str], *, check: bool = True, timeout: float | None = None) -> str:
    """What ``command`` prints on stdout, stripped."""
    return run(command, check=check, timeout=timeout).stdout.decode(errors="replace").strip()


def follow(
    command: Sequence[str],
    log: pathlib.Path,
    seen: Callable[[str], None] = lambda line: None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run ``command`` with everything it prints going to ``log`` and, line by line, to ``seen``.

    :raises CommandError: when it fails, with the end of the log and where the rest is.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    tail: list[str] = []
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n$ {' '.join(command)}\n")
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env=env,
        ) as process:
            assert process.stdout is not None  # noqa: S101 - for the type checker: stdout is a pipe
            for line in process.stdout:
                file.write(line)
                file.flush()
                tail = [*tail[-19:], line.rstrip()]
                seen(line.rstrip())
    if process.returncode:
        raise CommandError(
            f"{command[0]} failed (exit code {process.returncode}); all of it is in {log}\n"
            + "\n".join(tail)
        )
