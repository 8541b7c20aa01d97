"""Tests the record of graphs that a network had before it was rebuilt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from scripts.artifacts import earlier
from scripts.artifacts.earlier import fingerprint, read_earlier, supersede
from scripts.artifacts.stored import MANIFEST, read_manifest
from scripts.project import COMMITTED, ROOT

RUN = ROOT / "test/fixtures/runs/tiny-0.2.0/run/checkpoints/last.safetensors"


def test_the_committed_run_can_go_on() -> None:
    """Checks the fingerprint against one that the driver wrote, and the record of its graphs."""
    with safe_open(RUN, framework="numpy") as file:
        begun_on = json.loads(file.metadata()["fingerprints"])["artifacts"]
    manifest = read_manifest(COMMITTED["tiny"])
    same = [e["fingerprint"] for e in manifest["earlier"] if e["sameFunction"]]
    assert begun_on in [fingerprint(manifest), *same]


@pytest.mark.parametrize("arch", list(COMMITTED))
def test_manifests_hold_the_committed_record(arch: str) -> None:
    manifest = read_manifest(COMMITTED[arch])
    assert manifest["earlier"] == read_earlier().get(arch, [])
    assert fingerprint(manifest) not in [e["fingerprint"] for e in manifest["earlier"]]


def test_superseded_graphs_are_recorded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier, "EARLIER", tmp_path / "earlier.json")
    earlier.EARLIER.write_text("{}\n")
    folder = tmp_path / "tiny"
    shutil.copytree(COMMITTED["tiny"], folder)
    manifest = read_manifest(folder)
    old = fingerprint(manifest)
    version = json.loads((ROOT / "package.json").read_text())["version"]

    def rebuild(sha256: str, *, same: bool) -> list[dict[str, object]]:
        manifest["graphs"]["train"]["sha256"] = sha256
        files = {MANIFEST: json.dumps(manifest).encode()}
        rebuilt: list[dict[str, object]] = json.loads(
            supersede(files, folder, same_function=same)[MANIFEST]
        )["earlier"]
        return rebuilt

    unchanged = manifest["graphs"]["train"]["sha256"]
    rebuild(unchanged, same=True)
    assert read_earlier() == {}
    first = {"fingerprint": old, "version": version, "sameFunction": True}
    assert rebuild("1" * 64, same=True) == [first]
    assert rebuild("2" * 64, same=True) == [first]
    assert read_earlier() == {"tiny": [first]}
    assert rebuild("3" * 64, same=False) == [{**first, "sameFunction": False}]


def test_another_function_ends_earlier_runs_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier, "EARLIER", tmp_path / "earlier.json")
    oldest = {"fingerprint": "0" * 64, "version": "0.1.0", "sameFunction": True}
    earlier.EARLIER.write_text(json.dumps({"tiny": [oldest]}))
    manifest = read_manifest(COMMITTED["tiny"])
    manifest["graphs"]["train"]["sha256"] = "1" * 64
    files = {MANIFEST: json.dumps(manifest).encode()}
    supersede(files, COMMITTED["tiny"], same_function=False)
    assert [entry["sameFunction"] for entry in read_earlier()["tiny"]] == [False, False]
