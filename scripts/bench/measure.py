"""Runs the processes to time: servers that answer requests, and jobs that run once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from scripts.project import COMMITTED, ROOT


class StepServer:
    """A program of this folder that times training steps, or epochs of a loader, on request.

    Attributes:
        answer: the program's last answer.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.answer: dict[str, Any] = {}
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, request: dict[str, Any]) -> float:
        """Returns milliseconds per training step, or per image for a loader."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"expected an answer from {self.name}, got none; run it by hand")
        self.answer = json.loads(line)
        return float(self.answer["ms"])

    def peak_bytes(self) -> int:
        """Returns the largest resident memory that the process has had."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def close(self) -> None:
        """Ends the program."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def network_servers(arch: str, threads: int) -> list[StepServer]:
    """Starts the servers for training steps of a network: this project and PyTorch."""
    driver = str(Path(__file__).parent / "step_driver.mjs")
    count = str(threads)
    theirs = [sys.executable, "-m", "scripts.bench.step_torch", count, arch]
    return [
        StepServer("this project", ["node", driver, count, str(COMMITTED[arch])]),
        StepServer("PyTorch", theirs),
    ]


def step_servers(threads: int) -> list[StepServer]:
    """Starts the servers for ResNet-18's steps: this project, PyTorch, onnxruntime-training."""
    native = [sys.executable, "-m", "scripts.bench.step_ort_training", str(threads)]
    return [*network_servers("resnet18", threads), StepServer("onnxruntime-training", native)]


def loader_servers(data: Path) -> list[StepServer]:
    """Starts the servers for loaders: this project's, the same server again, torch's DataLoader."""
    ours = ["node", str(Path(__file__).parent / "loader_driver.mjs"), str(data)]
    theirs = [sys.executable, "-m", "scripts.bench.loader_torch", str(data)]
    server = StepServer("this project's loader", ours)
    return [server, server, StepServer("torch's DataLoader", theirs)]


def first_step(command: Sequence[str], environment: dict[str, str]) -> float:
    """Returns the seconds from the command to the first training step. The run is killed there."""
    preload = (Path(__file__).parent / "first_step.mjs").as_uri()
    settings = {**os.environ, **environment, "NODE_OPTIONS": f"--import={preload}"}
    start = time.time()
    process = subprocess.Popen(
        command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    text = process.stdout.read()
    process.wait()
    if "first step at" not in text:
        raise RuntimeError(f"expected a first training step, got: {text[-1000:]}")
    return float(text.split("first step at")[1].split()[0]) - start


@dataclass(frozen=True)
class Spread:
    """Repeated measurements, shown as their median, smallest and largest."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return median(self.values)

    def text(self, unit: str = "", digits: int = 0) -> str:
        """Formats as ``287 (281 to 301) ms``."""
        low, high = min(self.values), max(self.values)
        return f"{self.median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f}){unit}"


def ratio(ours: Spread, theirs: Spread) -> Spread:
    """Returns the ratios of measurements of the same round, which ran right after each other."""
    return Spread(tuple(a / b for a, b in zip(ours.values, theirs.values, strict=True)))


def alternate(
    servers: Sequence[StepServer], requests: Sequence[dict[str, Any]], rounds: int
) -> list[Spread]:
    """Times the servers in turn, one request each per round; the first round does not count."""
    found: list[list[float]] = [[] for _ in servers]
    for number in range(rounds + 1):
        for server, request, times in zip(servers, requests, found, strict=True):
            milliseconds = server.ask(request)
            if number > 0:
                times.append(milliseconds)
    return [Spread(tuple(times)) for times in found]


@dataclass(frozen=True)
class Job:
    """A finished job: its own marks, its wall time, and the peak memory of all its processes."""

    marks: dict[str, Any]
    seconds: float
    peak_bytes: int


def run_job(command: Sequence[str], environment: dict[str, str] | None = None) -> Job:
    """Runs a job: passes the time of its start as last argument, reads marks from its last line."""
    start = time.time()
    process = subprocess.Popen(
        [*command, str(start)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, tree_bytes(process.pid))
            time.sleep(0.2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    watcher.join()
    seconds = time.time() - start
    if process.returncode != 0:
        raise RuntimeError(f"expected {command} to succeed, got exit code {process.returncode}")
    return Job(json.loads(output.strip().splitlines()[-1]), seconds, peak)


def tree_bytes(pid: int) -> int:
    """Returns the memory of a process and its descendants; shared pages count once (Pss)."""
    total = 0
    pending = [pid]
    while pending:
        current = pending.pop()
        folder = Path(f"/proc/{current}")
        try:
            rollup = (folder / "smaps_rollup").read_text()
            for task in (folder / "task").iterdir():
                pending += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue  # the process has ended
        line = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
        total += int(line.split()[1]) * 1024
    return total
