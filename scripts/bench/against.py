"""``npm run bench -- --against FOLDER``: times this checkout and another one in turn.

Each checkout runs its own drivers, so the other may be of any version that has them. It must be
built (``npm ci``, ``npm run build``). The loader and the job read the same images in both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.bench.job_data import make_job_data
from scripts.bench.measure import Spread, StepServer, alternate, ratio, run_job
from scripts.project import ROOT

BATCHES = (1, 4, 16)
DRIVERS = Path("scripts") / "bench"
Request = tuple[str, dict[str, Any]]


def row(name: str, here: Spread, there: Spread) -> str:
    """Formats one row; each ratio is of two measurements that ran right after each other."""
    ratios = ratio(here, there)
    return f"| {name} | {here.text(digits=1)} | {there.text(digits=1)} | {ratios.text(digits=2)} |"


def served(
    other: Path, command: Sequence[str], requests: Sequence[Request], rounds: int
) -> Iterator[str]:
    """Yields a row for each named request. ``command`` is a driver's file name and argument."""
    driver, argument = command
    servers = [
        StepServer(str(root), ["node", str(root / DRIVERS / driver), argument])
        for root in (ROOT, other)
    ]
    try:
        for name, request in requests:
            yield row(name, *alternate(servers, [request] * 2, rounds))
    finally:
        for server in servers:
            server.close()


def jobs(other: Path, data: Path, rounds: int) -> Iterator[str]:
    """Yields the rows of the whole job: time to the first step, time to the saved weights."""
    marks: dict[Path, list[dict[str, Any]]] = {ROOT: [], other: []}
    for number in range(rounds):
        for root, found in marks.items():
            with tempfile.TemporaryDirectory() as folder:
                driver = str(root / DRIVERS / "job_driver.mjs")
                run = str(Path(folder) / f"run{number}")
                job = run_job(["node", driver, str(data), run], {"XDG_CACHE_HOME": folder})
            found.append(job.marks)
    for name, key in (("to the first step", "firstStep"), ("whole job", "saved")):
        here, there = (Spread(tuple(mark[key] for mark in found)) for found in marks.values())
        yield row(f"job, {name}, s", here, there)


def against(other: Path, threads: int, rounds: int) -> Iterator[str]:
    """Yields the lines of the comparison as they are measured.

    Raises:
        FileNotFoundError: the other checkout is not built.
    """
    if not (other / "dist" / "src" / "index.js").exists():
        raise FileNotFoundError(
            f"expected a built checkout in {other}; run npm ci and npm run build there"
        )
    yield "| | this checkout | the other | this / the other |"
    yield "| --- | --- | --- | --- |"
    steps = [(f"step, batch {batch}, ms", {"batch": batch}) for batch in BATCHES]
    yield from served(other, ["step_driver.mjs", str(threads)], steps, 3 * rounds)
    with tempfile.TemporaryDirectory() as folder:
        data = make_job_data(Path(folder))
        loads = [("loader, ms an image", {"cache": "none"}), ("loader, cached", {"cache": "ram"})]
        yield from served(other, ["loader_driver.mjs", str(data)], loads, rounds)
        yield from jobs(other, data, max(1, rounds // 2))
