"""The files of an artifact folder: graphs are gzip'ed. Everything that reads them does it here."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import onnx

SUFFIX = ".gz"
"""Ending of a stored graph's file name, after ``.onnx``."""

MANIFEST = "manifest.json"


def compress(content: bytes) -> bytes:
    """Returns ``content`` gzip'ed, without name or time: equal contents give equal files."""
    return gzip.compress(content, compresslevel=9, mtime=0)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads the manifest of an artifact folder."""
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return manifest


def read_graph(folder: Path, key: str) -> bytes:
    """Reads an ONNX model by its key in the manifest, for example ``trainExtended``."""
    return gzip.decompress((folder / read_manifest(folder)["graphs"][key]["file"]).read_bytes())


def load_graph(folder: Path, key: str) -> onnx.ModelProto:
    """Loads a graph by its key in the manifest."""
    return onnx.load_from_string(read_graph(folder, key))


def read_stored(path: Path) -> bytes | None:
    """Reads a file of the folder, expanded if it is a graph; None if missing or damaged."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == SUFFIX else content
    except (OSError, EOFError, ValueError):
        return None


def write_stored(path: Path, content: bytes) -> None:
    """Writes a file of an artifact folder.

    A graph that is there with the same content stays: another version of zlib gives other bytes.
    """
    if read_stored(path) == content:
        return
    path.write_bytes(compress(content) if path.suffix == SUFFIX else content)
