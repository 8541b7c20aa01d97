"""Graphs that a network had before: runs begun on them go on if nothing but digits changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.artifacts.stored import MANIFEST
from scripts.project import ROOT

EARLIER = ROOT / "scripts/artifacts/earlier.json"
"""Every network's earlier graphs, the oldest first; ``build_manifest`` copies them."""


def read_earlier() -> dict[str, list[dict[str, Any]]]:
    """Returns the earlier graphs by network: fingerprint, version and sameFunction."""
    found: dict[str, list[dict[str, Any]]] = json.loads(EARLIER.read_text())
    return found


def fingerprint(manifest: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a network's graphs, preprocessing and masks.

    Its definition is ``artifactsFingerprint`` of src/artifacts/fingerprint.ts, which checkpoints
    are written with: the same JSON text, so numbers are written as JavaScript does.
    """
    pixels = {key: v for key, v in manifest["preprocessing"].items() if key != "cropFraction"}
    parts = [pixels, *(graph["sha256"] for graph in manifest["graphs"].values())]
    if manifest.get("masks") is not None:
        parts.append(manifest["masks"])
    texts = [part if isinstance(part, str) else _json(part) for part in parts]
    return hashlib.sha256("".join(texts).encode()).hexdigest()


def supersede(files: Mapping[str, bytes], folder: Path, *, same_function: bool) -> dict[str, bytes]:
    """Records the graphs of ``folder`` as earlier ones if ``files`` will replace them by others.

    Args:
        files: the rebuilt files, by name.
        same_function: whether the rebuilt graphs compute the same function.

    Returns:
        ``files`` with the record in their manifest.
    """
    path = folder / MANIFEST
    rebuilt = json.loads(files[MANIFEST])
    before = json.loads(path.read_text()) if path.is_file() else rebuilt
    known = read_earlier()
    entries = known.get(rebuilt["arch"], [])
    if fingerprint(before) == fingerprint(rebuilt):
        return dict(files)
    version = json.loads((ROOT / "package.json").read_text())["version"]
    record = {
        "fingerprint": fingerprint(before),
        "version": version,
        "sameFunction": same_function,
    }
    if not same_function:
        entries = [{**entry, "sameFunction": False} for entry in entries]
    entries = [entry for entry in entries if entry["fingerprint"] != record["fingerprint"]]
    known[rebuilt["arch"]] = [*entries, record]
    EARLIER.write_text(json.dumps(known, indent=2) + "\n")
    rebuilt["earlier"] = known[rebuilt["arch"]]
    return {**files, MANIFEST: (json.dumps(rebuilt, indent=1) + "\n").encode()}


def _json(value: object) -> str:
    return json.dumps(_whole(value), separators=(",", ":"), ensure_ascii=False)


def _whole(value: object) -> object:
    """Returns ``value`` with integers for floats that are whole, as JavaScript writes them."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
