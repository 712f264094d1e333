"""What the return of a state run on one node means."""

from __future__ import annotations

from typing import Any

#: Enough of a comment to act on; the rest is in the job cache.
COMMENT_LIMIT = 600


def changes(ret: Any) -> dict[str, Any]:
    """State id -> what it changed (or would change, under ``test=True``); empty when nothing."""
    if not isinstance(ret, dict):
        return {}
    return {
        f"{chunk.get('__sls__', '?')}: {chunk.get('__id__', key)}": chunk["changes"]
        for key, chunk in sorted(ret.items(), key=lambda item: _order(item[1]))
        if isinstance(chunk, dict) and chunk.get("changes")
    }


def failures(ret: Any) -> list[str]:
    """One line per state that failed by itself; those that only miss a requisite are left out.

    A list is what Salt returns when the SLS did not compile.
    """
    if isinstance(ret, list):
        return [_short(str(line)) for line in ret]
    if not isinstance(ret, dict):
        return [_short(str(ret))]
    failed = [
        chunk
        for chunk in sorted(ret.values(), key=_order)
        if not isinstance(chunk, dict) or chunk.get("result") is False
    ]
    lines = [
        f"{chunk.get('__sls__', '?')}: {chunk.get('__id__', '?')}: {_short(_comment(chunk))}"
        if isinstance(chunk, dict)
        else _short(str(chunk))
        for chunk in failed
    ]
    own = [line for line in lines if "One or more requisite failed" not in line]
    return own or lines


def _order(chunk: Any) -> int:
    return int(chunk.get("__run_num__", 0)) if isinstance(chunk, dict) else -1


def _comment(chunk: dict[str, Any]) -> str:
    comment = chunk.get("comment", "")
    return "; ".join(comment) if isinstance(comment, list) else str(comment)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= COMMENT_LIMIT else text[: COMMENT_LIMIT - 3] + "..."
