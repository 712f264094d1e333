"""``python -m tools.lint [PATH ...]``: what is wrong with the files that git knows or would add."""

from __future__ import annotations

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "_utils"))

from tools.lint import check  # noqa: E402 - it needs the path


def paths() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(filter(None, listed.stdout.split("\0")))


def main() -> int:
    found: list[str] = []
    for path in sys.argv[1:] or paths():
        file = ROOT / path
        if file.is_symlink() or not file.is_file():
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an image
        found += check(path, text)
    print("\n".join(found) or "nothing found")
    return bool(found)


sys.exit(main())
