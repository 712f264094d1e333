"""Instead of the states of a stage: notes that they were applied."""

import stub_notes


def applied(name, waves, stage):
    """Ensure it is noted that ``stage`` of ``waves`` was applied here."""
    stub_notes.note(__opts__, "states", waves=[int(wave) for wave in waves], stage=stage)
    return {"name": name, "result": True, "changes": {stage: "applied"}, "comment": ""}
