"""What stops the lab before anything is changed."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import pytest

from lab import image
from lab.preflight import GIB, Facts, faults

GOOD = Facts(
    root=True,
    python=(3, 11),
    system="debian",
    memory=20 * GIB,
    disk=50 * GIB,
    disk_path="/var/lib",
    running=False,
    image=False,
    tun=True,
    routes={"192.0.2.0/24": "eth0"},
    subnets=["10.77.0.0/24", "10.77.1.0/24"],
)


def test_a_good_machine_has_no_fault() -> None:
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"root": False}, "not root"),
        ({"python": (3, 9)}, "Python 3.9 is too old"),
        ({"system": "fedora"}, "this system is fedora"),
        ({"memory": 4 * GIB}, "4.0 GiB of memory"),
        ({"disk": 2 * GIB}, "2.0 GiB is free in /var/lib"),
        ({"tun": False}, "modprobe tun"),
        ({"unreachable": ["http://m.example: timed out"]}, "cannot reach http://m.example"),
        ({"routes": {"10.77.0.0/16": "br0"}}, "10.77.0.0/16 is on br0"),
    ],
)
def test_each_fault_is_named(change: dict[str, Any], says: str) -> None:
    found = faults(dataclasses.replace(GOOD, **change))
    assert found
    assert says in found[0]


def test_every_fault_at_once() -> None:
    assert len(faults(dataclasses.replace(GOOD, root=False, memory=0, tun=False))) == 3


def test_a_running_lab_may_use_the_memory_it_uses() -> None:
    assert faults(dataclasses.replace(GOOD, running=True, memory=GIB, disk=GIB)) == []


def test_the_images_inputs_are_content_place_and_mode(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    names = {image.inputs([file], tmp_path)}
    file.write_text("two")
    names.add(image.inputs([file], tmp_path))
    file.chmod(0o755)
    names.add(image.inputs([file], tmp_path))
    assert len(names) == 3


def test_the_image_is_made_of_files_that_exist() -> None:
    found = {path.name for path in image.files()}
    assert {"Containerfile", "requirements.txt", "saltern-install", "build", "init"} <= found


def test_layers_of_a_build_are_told_from_its_log() -> None:
    cached, made = "ab" * 32, "0123456789a"
    log = f"STEP 1/2: FROM base\n--> Using cache {cached}\n--> {cached}\nSTEP 2/2\n--> {made}\n"
    assert image.used_layers(log) == [cached, cached, made]
