"""Errors of a runner as people read them: what is wrong, and nothing of how we found out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from salt.exceptions import SaltInvocationError, SaltRunnerError


def said(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``function`` return its errors: Salt shows a traceback with what is raised.

    ``retcode`` is what ``salt-run`` exits with, and on ``Error`` the state ``salt.runner`` fails,
    both as if it were raised (salt/cli/run.py, salt/states/saltmod.py of 3008.3).
    """

    @functools.wraps(function)
    def answer(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (SaltRunnerError, SaltInvocationError) as exc:
            return {"Error": str(exc), "retcode": 1}

    return answer
