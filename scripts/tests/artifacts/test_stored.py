"""Tests how the files of an artifact folder are stored."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from scripts.artifacts.stored import (
    compress,
    load_graph,
    read_graph,
    read_manifest,
    read_stored,
    write_stored,
)
from scripts.project import COMMITTED


def test_a_stored_graph_has_no_name_and_no_time() -> None:
    """Checks the header of RFC 1952: flags 0 (no name), modification time 0."""
    stored = compress(b"model")
    assert stored[:2] == b"\x1f\x8b"
    assert (stored[3], stored[4:8]) == (0, bytes(4))
    assert compress(b"model") == stored


def test_a_graph_is_read_by_its_key() -> None:
    folder = COMMITTED["tiny"]
    spec = read_manifest(folder)["graphs"]["trainExtended"]
    assert spec["file"] == "train_extended.onnx.gz"
    assert hashlib.sha256(read_graph(folder, "trainExtended")).hexdigest() == spec["sha256"]
    names = [value.name for value in load_graph(folder, "trainExtended").graph.input]
    assert names == [entry["name"] for entry in spec["inputs"]]


def test_equal_content_is_not_written_again(tmp_path: Path) -> None:
    file = tmp_path / "a.onnx.gz"
    file.write_bytes(gzip.compress(b"model", compresslevel=1, mtime=7))
    before = file.read_bytes()
    write_stored(file, b"model")
    assert file.read_bytes() == before
    write_stored(file, b"other")
    assert file.read_bytes() == compress(b"other")


@pytest.mark.parametrize("content", [b"model", compress(b"model")[:-3]])
def test_a_damaged_graph_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.onnx.gz").write_bytes(content)
    assert read_stored(tmp_path / "a.onnx.gz") is None
