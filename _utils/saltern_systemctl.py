"""Commands of systemd. On its own, because each ``openstack.health`` on each node loads it."""

from __future__ import annotations

import os
import subprocess


class NoAnswer(RuntimeError):
    """The command is not there, or did not end in time."""


def run(*argv: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run ``argv`` for at most ``timeout`` seconds, whatever it exits with.

    Past Salt's cmd module: loading that costs a job ten times what systemctl costs.

    :raises NoAnswer: saying which command, and why.
    """
    try:
        return subprocess.run(  # noqa: S603 - a list, whose words are not interpreted by anybody
            argv,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            # Debian's init scripts beside the units would cost 0.3 s of Perl at each enable
            env={**os.environ, "LC_ALL": "C", "SYSTEMCTL_SKIP_SYSV": "1"},
        )
    except subprocess.TimeoutExpired as exc:
        raise NoAnswer(f"{' '.join(argv[:2])} does not answer within {timeout:g} s") from exc
    except OSError as exc:
        raise NoAnswer(f"{argv[0]} does not answer: {exc}") from exc
