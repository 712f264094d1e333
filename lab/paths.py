"""Where the lab keeps things. ``.lab/`` holds everything that is not under version control."""

from __future__ import annotations

import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAB = ROOT / "lab"
STATE = ROOT / ".lab"
PILLAR = STATE / "pillar"
MODEL = PILLAR / "cloud.yaml"
EXAMPLE = ROOT / "examples" / "lab.yaml"
INSTALLED = STATE / "installed-packages"  # written by lab/install, one package a line
