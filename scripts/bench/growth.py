"""Measures time and memory to list and check many images, and the size of the packages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import Image

from scripts.project import ROOT

FILES = (1_000, 10_000, 100_000)
INDEX_SECONDS = 5.0
INDEX_BYTES = 100e6


def make_files(folder: Path, count: int) -> None:
    """Makes many hard links to a few small JPEGs, in two classes.

    Links will do, because the cache of checked images goes by path.
    """
    for split, number in (("train", count), ("warm", 8)):
        for label in "ab":
            (folder / split / label).mkdir(parents=True, exist_ok=True)
        for i in range(number):
            source = folder / f"{i % 8}.jpg"
            if not source.exists():
                Image.new("RGB", (64, 48), (i * 30, 90, 140)).save(source)
            os.link(source, folder / split / "ab"[i % 2] / f"{i:06d}.jpg")


def measure_index(folder: Path) -> dict[str, Any]:
    """Runs index_driver.mjs; returns its figures."""
    driver = str(Path(__file__).parent / "index_driver.mjs")
    environment = {**os.environ, "ORT_FINETUNE_CACHE": str(folder / "cache")}
    command = ["node", driver, str(folder)]
    text = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def growth() -> list[str]:
    """Returns the table by number of files, with one measurement each."""
    lines = [
        "| files | index, s | its memory, MB | check, first time, s | its memory, MB | "
        "check, known, s | its memory, MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    verdict = ""
    for count in FILES:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            make_files(folder, count)
            first, again = measure_index(folder), measure_index(folder)
        if again["known"] != count:
            raise RuntimeError(f"expected {count} known images, got {again['known']}")
        cells = [
            f"{count:,}",
            f"{first['index']:.2f}",
            f"{first['indexBytes'] / 1e6:.0f}",
            f"{first['check']:.1f}",
            f"{first['checkBytes'] / 1e6:.0f}",
            f"{again['check']:.1f}",
            f"{again['checkBytes'] / 1e6:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
        met = first["index"] < INDEX_SECONDS and first["indexBytes"] < INDEX_BYTES
        verdict = "met" if met else "**missed**"
    bounds = f"under {INDEX_SECONDS:.0f} s and {INDEX_BYTES / 1e6:.0f} MB"
    return [*lines, "", f"Index of {FILES[-1]:,} files, target {bounds}: {verdict}."]


def node_packages() -> int:
    """Returns the bytes of the packages that a user of this package installs."""
    command = ["npm", "ls", "--omit=dev", "--all", "--parseable"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    folders = [Path(line) for line in found.splitlines() if "node_modules" in line]
    files = {file for folder in folders for file in folder.rglob("*") if file.is_file()}
    return sum(file.stat().st_size for file in files)


def python_packages(name: str, seen: set[str] | None = None) -> int:
    """Returns the bytes of a Python package and all packages that it requires.

    Args:
        seen: names of packages that are counted already.
    """
    known = set() if seen is None else seen
    if name in known:
        return 0
    known.add(name)
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return 0  # required on other systems only
    total = 0
    for file in found.files or []:
        path = Path(str(file.locate()))
        total += path.stat().st_size if path.is_file() else 0
    for requirement in found.requires or []:
        if "extra ==" not in requirement:
            total += python_packages(re.split(r"[^A-Za-z0-9._-]", requirement)[0], known)
    return total
