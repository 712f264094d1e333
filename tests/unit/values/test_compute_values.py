"""Values of Nova: who gets which file, and no secret that is not needed there."""

from __future__ import annotations

import json

import pytest
import support
from saltern.cloud import Cloud
from saltern.values import compute


def test_a_compute_holds_no_secret_of_a_database(lab: Cloud) -> None:
    values = compute.nova(lab, "cmp1")
    assert "SECRET-nova-database" not in json.dumps(values)
    assert not {"config", "cells", "api"} & set(values)
    assert "database" not in values["compute"]


def test_a_controller_has_no_file_of_a_compute(lab: Cloud) -> None:
    values = compute.nova(lab, "ctl1")
    assert "compute" not in values
    assert values["config"]["api_database"]["connection"].endswith("/nova_api?charset=utf8mb3")
    assert values["api"]["socket"] == "10.77.0.11:8774"
    assert values["metadata"]["unit"] == "nova-api-metadata"
    assert values["hosts"] == ["cmp1", "cmp2"]


def test_one_node_can_be_both() -> None:
    cloud = support.cloud("selfsufficient")
    both = set(cloud.nodes_running("nova-api")) & set(cloud.nodes_running("nova-compute"))
    for node in both:
        assert {"config", "compute"} <= set(compute.nova(cloud, node))


def test_a_node_without_nova_gets_next_to_nothing(lab: Cloud) -> None:
    assert compute.nova(lab, "lb1") == {"workers": 1}


def test_cells_are_templates_without_a_password(lab: Cloud) -> None:
    cell0, cell1 = compute.nova(lab, "ctl1")["cells"]
    assert "SECRET" not in json.dumps([cell0, cell1])
    assert cell0["database"].endswith("/nova_cell0?{query}")
    assert cell0["transport"] == "none:///"
    assert cell1["database"].endswith("/{path}?{query}")
    assert cell1["transport"].count("hostname") == 3
    assert "{username3}:{password3}@{hostname3}:{port3}" in cell1["transport"]


def test_a_single_broker_is_not_numbered() -> None:
    assert compute._transport_template(1) == (
        "{scheme}://{username}:{password}@{hostname}:{port}/{path}"
    )


def test_the_identity_of_a_compute_outlives_its_disk(lab: Cloud) -> None:
    first, again = (compute.nova(lab, "cmp1")["compute_id"] for _ in range(2))
    assert first == again != compute.nova(lab, "cmp2")["compute_id"]


@pytest.mark.parametrize(("timers", "down"), [("quick", 20), ("production", 60)])
def test_a_silent_compute_is_given_up_by_the_models_timers(timers: str, down: int) -> None:
    cloud = support.cloud("lab", options={"timers": timers})
    assert compute.nova(cloud, "cmp1")["compute"]["DEFAULT"]["service_down_time"] == down


def test_libvirt_is_told_the_operators_word_on_emulation(lab: Cloud) -> None:
    assert compute.libvirt(lab, "cmp1") == {"cpu": lab.option("cpu")}
