"""``npm run bench``: measures docs/results/performance.md, or networks for docs/networks.md."""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import torch
import torchvision  # type: ignore[import-untyped]

from scripts.bench.against import against
from scripts.bench.growth import growth, node_packages, python_packages
from scripts.bench.job_data import COUNTS, make_job_data
from scripts.bench.measure import (
    Job,
    Spread,
    alternate,
    first_step,
    loader_servers,
    ratio,
    run_job,
    step_servers,
)
from scripts.bench.networks import bench
from scripts.bench.profile import profile
from scripts.bench.verdict import at_least, verdict
from scripts.project import COMMITTED, RESULTS, ROOT, compile_typescript

DOCUMENT = RESULTS / "performance.md"
BEGIN, END = "<!-- measured by npm run bench -->", "<!-- end of measured -->"
BATCHES = (1, 4, 16, 32)
TARGETS = {4: 1.05, 16: 1.10, 32: 1.10}
NATIVE_TARGET = 0.95


def steps(threads: int, rounds: int, batches: Sequence[int] = BATCHES) -> list[str]:
    """Returns the table of training steps."""
    lines = [
        "| batch | this project, ms | PyTorch, ms | onnxruntime-training, ms | ours / PyTorch | "
        "ours / onnxruntime-training |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    servers = step_servers(threads)
    outside: dict[int, float] = {}
    try:
        for batch in batches:
            ours, torch, native = alternate(servers, [{"batch": batch}] * 3, rounds)
            outside[batch] = servers[0].answer["outside"]
            to_torch, to_native = ratio(ours, torch).median, ratio(ours, native).median
            bound = NATIVE_TARGET if batch in TARGETS else None
            lines.append(
                f"| {batch} | {ours.text()} | {torch.text()} | {native.text()} | "
                f"{verdict(to_torch, TARGETS.get(batch))} | {verdict(to_native, bound)} |"
            )
    finally:
        for server in servers:
            server.close()
    shares = ", ".join(f"{share:.1%} at batch {batch}" for batch, share in outside.items())
    if 4 in outside:
        shares += f" (target 2 % at batch 4: {'met' if outside[4] <= 0.02 else '**missed**'})"
    return [*lines, "", f"Share of this project's step outside of the runtime: {shares}."]


def jobs(rounds: int) -> list[str]:
    """Returns the table of the tutorial's job, one epoch."""
    here = Path(__file__).parent
    ours: list[Job] = []
    theirs: list[Job] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = make_job_data(folder / "data")
        cache = {"XDG_CACHE_HOME": str(folder / "cache")}
        for number in range(rounds):
            torch_command = [sys.executable, "-m", "scripts.bench.job_torch", str(data)]
            theirs.append(run_job([*torch_command, str(folder / f"{number}.pt")]))
            driver = ["node", str(here / "job_driver.mjs"), str(data), str(folder / f"run{number}")]
            ours.append(run_job(driver, cache))

    def row(name: str, key: str, bound: float | None) -> str:
        mine = Spread(tuple(job.marks[key] for job in ours))
        torch = Spread(tuple(job.marks[key] for job in theirs))
        found = verdict(ratio(mine, torch).median, bound)
        return f"| {name} | {mine.text(' s', 1)} | {torch.text(' s', 1)} | {found} |"

    peak_ours = Spread(tuple(job.peak_bytes / 1e9 for job in ours))
    peak_torch = Spread(tuple(job.peak_bytes / 1e9 for job in theirs))
    peak = verdict(ratio(peak_ours, peak_torch).median, 1.0)
    return [
        "| | this project | PyTorch | ratio |",
        "| --- | --- | --- | --- |",
        row("from the command to the first training step", "firstStep", None),
        row(f"training pass ({COUNTS['train']} images)", "train", None),
        row(f"validation pass ({COUNTS['val']} images)", "val", 0.75),
        row("whole job, from the command to the saved weights", "saved", 0.90),
        f"| peak memory | {peak_ours.text(' GB', 2)} | {peak_torch.text(' GB', 2)} | {peak} |",
    ]


def loaders(rounds: int) -> list[str]:
    """Returns the table of the loaders alone: epochs over the job's training images."""
    with tempfile.TemporaryDirectory() as temporary:
        servers = loader_servers(make_job_data(Path(temporary)))
        try:
            requests = [{"cache": "none"}, {"cache": "ram"}, {}]
            plain, cached, torch = alternate(servers, requests, rounds)
        finally:
            for server in servers[1:]:
                server.close()

    def row(name: str, times: Spread, others: str) -> str:
        speed = Spread(tuple(1000 / value for value in times.values))
        return f"| {name} | {speed.text()} | {others} |"

    to_torch, to_plain = ratio(torch, plain).median, ratio(plain, cached).median
    return [
        "| 4 workers, batch 4, crops and flips of training | images per second | ratio |",
        "| --- | --- | --- |",
        row("torch's DataLoader", torch, ""),
        row("this project", plain, f"{at_least(to_torch, 1.0)} to torch's"),
        row("later epochs with `--cache ram`", cached, f"{at_least(to_plain, 2.0)} to without"),
    ]


def start(rounds: int) -> list[str]:
    """Returns the table of times from the command to the first step, with weights in a file."""
    times: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data, weights = make_job_data(folder / "data"), folder / "weights.pth"
        torch.save(torchvision.models.resnet18().state_dict(), weights)
        for number in range(rounds):
            for known in times:
                out = str(folder / f"run-{number}-{known}")
                words = ["npm", "run", "train", "--", "--data", str(data), "--out", out]
                words += ["--weights", str(weights), "--device", "cpu"]
                cache = {"ORT_FINETUNE_CACHE": str(folder / f"cache-{number}")}
                times[known].append(first_step(words, cache))
    unknown, known_images = (Spread(tuple(values)) for values in times.values())
    target = "met" if known_images.median <= 2.0 else "**missed**"
    return [
        "| `npm run train` to its first training step | seconds |",
        "| --- | --- |",
        f"| known images | {known_images.text(digits=2)} (target 2.00: {target}) |",
        f"| images never checked | {unknown.text(digits=2)} |",
    ]


def machine(rounds: int) -> str:
    """Returns date, machine and versions."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    runtime = (ROOT / "node_modules/onnxruntime-node/package.json").read_text()
    version = runtime.split('"version": "')[1].split('"')[0]
    packages = ", ".join(
        f"{name} {metadata.version(name)}"
        for name in ("torch", "torchvision", "onnxruntime-training-cpu")
    )
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({platform.machine()}, {cpu()}), "
        f"{rounds} rounds. node {node.stdout.strip()}, onnxruntime-node {version}, {packages}."
    )


def cpu() -> str:
    """Returns the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


def processor_seconds() -> tuple[float, float]:
    """Returns the processor time used so far: by the whole machine, and by this program.

    The second includes the processes that this program has waited for.
    """
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    user, nice, system, _idle, _waiting, *interrupts = ticks
    used = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return used, sum(usage.ru_utime + usage.ru_stime for usage in usages)


def others(before: tuple[float, float]) -> str:
    """Says how much processor time other programs took, which makes the figures less reliable."""
    used, own = (now - then for now, then in zip(processor_seconds(), before, strict=True))
    share = max(0.0, 1 - own / used)
    return f"Other programs took {share:.0%} of the processor time used during the measurement."


def measure(threads: int, rounds: int) -> Iterator[str]:
    """Yields the lines of the document's measured part as they are measured."""
    before = processor_seconds()
    yield (
        f"{machine(rounds)} {threads} threads. Figures are medians with smallest and largest; "
        "ratios are medians of the ratios within each round."
    )
    yield ""
    yield from ["## One training step, ResNet-18, 224x224", ""]
    yield from steps(threads, rounds)
    yield "\nonnxruntime-training's SGD has no momentum: its step does less than the others'.\n"
    sizes = f"{COUNTS['train']} + {COUNTS['val']} images of 500x375"
    yield from [f"## The tutorial's job: one epoch, {sizes}", ""]
    yield from jobs(max(1, rounds // 2))
    yield ""
    yield from start(max(1, rounds // 2))
    yield from ["", "## The loader alone", ""]
    yield from loaders(rounds)
    yield from ["", "## Growth", "", "One thread each:", ""]
    yield from steps(1, max(1, rounds // 2), (4,))
    yield "\nFolders of small JPEGs, one measurement each; memory is the growth of the process:\n"
    yield from growth()
    yield from ["", "## Installed", ""]
    ours, theirs = node_packages() / 1e6, python_packages("torchvision") / 1e6
    yield f"This project's packages take {ours:,.0f} MB. torchvision and its requirements take"
    yield f"{theirs:,.0f} MB as installed here."
    yield from ["", others(before)]


def main() -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="npm run bench --", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default 5)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each (default 2)")
    parser.add_argument("--quick", action="store_true", help="one round, printed, nothing written")
    parser.add_argument(
        "--profile", action="store_true", help="the ten costliest operators of a step, printed only"
    )
    parser.add_argument(
        "--against", type=Path, metavar="FOLDER", help="compare with another built checkout"
    )
    parser.add_argument(
        "--arch",
        action="append",
        choices=[arch for arch in COMMITTED if arch != "tiny"],
        help="measure this network's step instead, with 1 and 2 threads (repeatable)",
    )
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    compile_typescript()
    if options.profile:
        print("\n".join(profile(4, options.threads)))
        return 0
    if options.against is not None:
        for line in against(options.against.resolve(), options.threads, rounds):
            print(line, flush=True)
        return 0
    if options.arch:
        for line in bench(options.arch, rounds, machine(rounds), keep=not options.quick):
            print(line, flush=True)
        return 0
    measured: list[str] = []
    for line in measure(options.threads, rounds):
        print(line, flush=True)
        measured.append(line)
    if not options.quick:
        before, rest = DOCUMENT.read_text().split(BEGIN)
        after = rest.split(END)[1]
        body = "\n".join([before + BEGIN, "", *measured, "", END + after])
        DOCUMENT.write_text(body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
