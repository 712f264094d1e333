"""An execution module for tests: what the loaders of the process it runs in make of our files."""
# mypy: disable-error-code="name-defined"

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import salt.loader


def judge(kind: str, wanted: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """
    What is not there of ``wanted`` (module -> functions) in the loader ``kind``.

    Returns ``{module: {functions: those that are missing, reason: what the loader says}}``.

    CLI Example:

    .. code-block:: bash

        salt ctl1 loading_probe.judge modules wanted='{nova: [services]}'
    """
    loader = __salt__.value()
    if kind == "states":
        loader = salt.loader.states(__opts__, loader, salt.loader.utils(__opts__), None)
    missing = {
        module: [name for name in functions if f"{module}.{name}" not in loader]
        for module, functions in wanted.items()
    }
    return {
        module: {
            "functions": functions,
            "reason": str(loader.missing_fun_string(f"{module}.{functions[0]}")),
        }
        for module, functions in missing.items()
        if functions
    }
