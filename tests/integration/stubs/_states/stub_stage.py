"""Instead of the states of a stage: notes that they were applied."""

import stub_notes


def applied(name, wave, stage):
    """Ensure it is noted that ``stage`` of ``wave`` was applied here."""
    stub_notes.note(__opts__, "states", wave=int(wave), stage=stage)
    return {"name": name, "result": True, "changes": {stage: "applied"}, "comment": ""}
