"""Every kind of node of every example compiles: each stage of a deployment, and all at once."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import pathlib
from types import ModuleType
from typing import Any

import pytest
import salt.loader
import salt.pillar
import support

REQUISITES = {
    f"{name}{suffix}"
    for name in (
        *("require", "watch", "onchanges", "onfail", "prereq", "listen", "use"),
        *("require_any", "watch_any", "onchanges_any", "onfail_any", "onfail_all"),
    )
    for suffix in ("", "_in")
}
#: What a person applies by hand or the master by schedule, and no deployment.
ON_DEMAND: set[str] = set()


def faults_of_requisites(low: list[dict[str, Any]]) -> list[str]:
    """Requisites that Salt does not know, and those that lead nowhere.

    Salt itself drops an unknown ``requires:`` without a word wherever a state takes
    ``**kwargs``, and finds a dangling requisite only when the run gets to it.
    """
    found = []
    for chunk in low:
        where = f"{chunk['__sls__']}: {chunk['__id__']}"
        found += [
            f"{where}: {key}?"
            for key in chunk.keys() - REQUISITES
            if difflib.get_close_matches(key, REQUISITES, 1, 0.88)
        ]
        for key in chunk.keys() & REQUISITES:
            for kind, target in (item for ref in chunk[key] for item in ref.items()):
                if not any(
                    c["__sls__"] == target
                    if kind == "sls"
                    else c["state"] == kind and target in (c["__id__"], c["name"])
                    for c in low
                ):
                    found.append(f"{where}: {key} {kind}: {target} is nowhere")
    return found


def faults_of_files(low: list[dict[str, Any]]) -> list[str]:
    """Two states that write the same file undo each other for ever."""
    found: list[str] = []
    owners: dict[str, str] = {}
    for chunk in low:
        where = f"{chunk['__sls__']}: {chunk['__id__']}"
        if chunk["state"] == "file" and chunk["fun"] in ("managed", "serialize"):
            if chunk["name"] in owners:
                found.append(f"{where}: {chunk['name']} is written by {owners[chunk['name']]} too")
            owners[chunk["name"]] = where
    return found


def test_highstate_compiles(compiled: Any) -> None:
    low = compiled.highstate
    assert low, "a node of the model runs nothing"
    assert faults_of_requisites(low) == []
    assert faults_of_files(low) == []


def test_each_stage_of_a_deployment_compiles_alone(compiled: Any) -> None:
    """A stage may only require what it includes: it is applied without the others."""
    for stage, low in compiled.stages.items():
        assert low, f"stage {stage} does nothing"
        assert [f"{stage}: {fault}" for fault in faults_of_requisites(low)] == []


def test_the_stages_are_the_highstate(compiled: Any) -> None:
    staged = {(c["state"], c["__id__"]) for low in compiled.stages.values() for c in low}
    assert staged == {(c["state"], c["__id__"]) for c in compiled.highstate}


def test_every_state_function_exists(everything: list[Any]) -> None:
    """Looked up in the files: the loader hides what needs a binary that only nodes have."""
    used = {(c["state"], c["fun"]) for one in everything for c in one.highstate}
    assert not {f"{state}.{fun}" for state, fun in used if not hasattr(state_module(state), fun)}


def state_module(name: str) -> ModuleType | None:
    if (support.ROOT / f"_states/{name}.py").exists():
        return support.load_module("_states", name)
    for package in ("salt.states", f"saltext.{name.partition('_')[0]}.states"):
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(f"{package}.{name}")
    return None


@pytest.mark.parametrize("sls", sorted(p.stem for p in (support.ROOT / "orch").glob("*.sls")))
@pytest.mark.parametrize("example", support.EXAMPLES)
def test_orchestration_compiles(compiler: Any, example: str, sls: str) -> None:
    opts = compiler.options(example, "salt_master")
    low = compiler.low(opts, f"orch.{sls}")
    assert low and faults_of_requisites(low) == []
    for chunk in low:
        if chunk["state"] == "cloud_operation":
            module = support.load_module("_states", "cloud_operation")
            assert hasattr(module, chunk["fun"]), chunk["fun"]
    assert "SECRET" not in repr(opts["pillar"])


def test_a_stranger_gets_nothing(compiler: Any) -> None:
    opts = compiler.options("lab", "nobody")
    assert opts["pillar"]["cloud"]["states"] == []
    assert "SECRET" not in repr(opts["pillar"])


@pytest.mark.parametrize("node", ["ctl1", "salt_master"])
def test_a_model_with_faults_is_refused_by_name(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, node: str
) -> None:
    opts = support.minion_options("lab", tmp_path)
    model = tmp_path / "pillar/cloud.yaml"
    model.write_text(model.read_text().replace("networks:", "netwroks:", 1))
    opts.update(id=node, grains={"id": node})
    opts["pillar"] = salt.pillar.get_pillar(opts, opts["grains"], node, "base").compile_pillar()
    assert "cloud" not in opts["pillar"]
    modules = salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
    modules.pack["__context__"] = {}
    said = str(modules["state.sls"]("wave"))
    assert "Exception caught" not in caplog.text, "Salt's word for a traceback"
    assert "the model has faults: netwroks: unknown key; did you mean 'networks'?" in said


def test_every_sls_is_reached(everything: list[Any]) -> None:
    """An SLS that no node of any example compiles is dead, or the examples lack a role."""
    reached = {c["__sls__"] for one in everything for c in one.highstate}
    folder = support.ROOT / "salt"
    on_disk = {
        ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".init")
        for path in folder.rglob("*.sls")
        if path.relative_to(folder).parts[0][0] != "_" and "orch" not in path.parts
    }
    assert on_disk - ON_DEMAND - {"top", "wave"} == reached
