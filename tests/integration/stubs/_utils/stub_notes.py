"""What stubs share: they note each call with its time, and answer as the test told them."""

import json
import pathlib
import time


def note(opts, function, **said):
    """Append one call to the notes of this node."""
    with (pathlib.Path(opts["cachedir"]) / "stub.log").open("a") as log:
        log.write(json.dumps([time.time(), opts["id"], function, said]) + "\n")


def called(opts, function):
    """Whether ``function`` was called on this node before."""
    log = pathlib.Path(opts["cachedir"]) / "stub.log"
    return log.exists() and any(json.loads(line)[2] == function for line in log.open())


def told(opts):
    """What the test wants this node to answer."""
    return json.loads((pathlib.Path(opts["cachedir"]) / "stub.json").read_text())
