"""Whose keys the master holds, and the one way in which Salt loses an acceptance.

Salt files a key by deleting it and then writing it anew (``salt.cache.localfs_key.store``, 3008.3).
A minion that asks between the two is a new one for the master, so its key is put in pending while
it is being accepted: it lies in both folders. Salt reads pending first, so the node that somebody
has accepted is never let in, and nothing is logged.
"""

from __future__ import annotations

import pathlib
import time

#: Nanoseconds for which a folder that has changed is read again each time: a second change within
#: one tick of the kernel's clock (4 ms at 250 Hz) leaves its time of change as it was.
FRESH = 100_000_000


class AcceptedKeys:
    """Ids of the minions whose keys the master has accepted.

    :param pki_dir: the master's, absolute.
    """

    def __init__(self, pki_dir: str) -> None:
        self._accepted = _Folder(pathlib.Path(pki_dir) / "minions")
        self._pending = _Folder(pathlib.Path(pki_dir) / "minions_pre")

    def ids(self) -> frozenset[str]:
        """As they are now; who has to be let in again (:meth:`mend`) is among them."""
        return self._accepted.names()

    def mend(self) -> list[str]:
        """Let in whose acceptance Salt lost: take the same key out of pending.

        Another key under the same id is nobody's decision yet and stays where it is.

        :returns: their ids.
        """
        mended = []
        for node in sorted(self._accepted.names() & self._pending.names()):
            pending = self._pending.home / node
            try:
                same = pending.read_bytes() == (self._accepted.home / node).read_bytes()
            except FileNotFoundError:  # somebody has just decided about it
                continue
            if same:
                pending.unlink(missing_ok=True)
                mended.append(node)
        return mended


class _Folder:
    """The names in a folder, read only when it may have changed."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self._mtime = -1
        self._names: frozenset[str] = frozenset()

    def names(self) -> frozenset[str]:
        try:
            mtime = self.home.stat().st_mtime_ns
        except FileNotFoundError:
            return frozenset()
        if mtime != self._mtime:
            self._names = frozenset(p.name for p in self.home.iterdir() if p.name[0] != ".")
            self._mtime = mtime if time.time_ns() - mtime > FRESH else -1
        return self._names
