"""Checks the tables of docs/networks.md, made from figures that were not measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.bench import networks
from scripts.bench.measure import StepServer
from scripts.bench.networks import BEGIN, END, Figures
from scripts.project import COMMITTED
from scripts.reference.philox import manifest


def steps(ours: float, theirs: float) -> list[dict[str, Any]]:
    """Returns the figures of a network as networks.json has them."""
    return [
        {
            "batch": batch,
            "threads": threads,
            "ours": [ours, ours * 2, ours * 3],
            "torch": [theirs, theirs * 2, theirs * 3],
            "ours_bytes": 300_000_000,
            "torch_bytes": 400_000_000,
        }
        for batch in networks.BATCHES
        for threads in networks.THREADS
    ]


def test_the_tables_have_every_network_and_every_figure() -> None:
    lines = networks.tables({"resnet18": {"measured": "today", "steps": steps(100, 200)}})
    for arch in COMMITTED:
        found = [line for line in lines if line.startswith(f"| {arch} |")]
        measured = len(networks.BATCHES) * len(networks.THREADS)
        assert len(found) == {"tiny": 0, "resnet18": 1 + measured}.get(arch, 1)
    (row, *_) = (line for line in lines if line.startswith("| resnet18 |"))
    assert row.startswith("| resnet18 | 11.7 | 200 (0.50 ×) | 300 (0.75 ×) | 200 (0.50 ×) |")
    assert row.endswith("| torchvision: IMAGENET1K_V1, BSD-3-Clause |")
    assert "- resnet18: today" in lines


@pytest.mark.parametrize(
    ("ours", "words"), [(1.05, ("met", "missed")), (1.2, ("missed", "missed"))]
)
def test_targets(ours: float, words: tuple[str, str]) -> None:
    for entry in map(Figures.read, steps(ours, 1)):
        text = networks.line(networks.JUDGED[0], entry)
        assert words[networks.BATCHES.index(entry.batch)] in text
        assert "target" not in networks.line("resnet18", entry)


def test_a_package_is_named_as_publisher() -> None:
    found = manifest("resnet18")
    found["pretrained"]["package"] = {"name": "some-weights"}
    assert networks.publisher(found) == "PyPI's some-weights: IMAGENET1K_V1, BSD-3-Clause"
    assert networks.publisher({**found, "pretrained": None}) == "none"


class Clock(StepServer):
    """Answers without computing: a hundred milliseconds at two threads, fifty at one."""

    def __init__(self, threads: int) -> None:
        self.asked: list[int] = []
        self.closed = False
        self.threads = threads

    def ask(self, request: dict[str, Any]) -> float:
        """Returns the time for the number of threads."""
        self.asked.append(request["batch"])
        return 50.0 * self.threads

    def peak_bytes(self) -> int:
        """Returns a number."""
        return 7

    def close(self) -> None:
        """Counts as closed."""
        self.closed = True


def test_every_batch_size_has_processes_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks: list[Clock] = []

    def servers(_arch: str, threads: int) -> list[StepServer]:
        pair = [Clock(threads), Clock(threads)]
        clocks.extend(pair)
        return list(pair)

    found = list(networks.measure("tiny", 2, servers))
    assert [(each.batch, each.threads, each.ours) for each in found] == [
        (batch, threads, (50.0 * threads,) * 2) for batch in (4, 16) for threads in (2, 1)
    ]
    assert [clock.asked for clock in clocks] == [[4] * 3] * 4 + [[16] * 3] * 4
    assert all(clock.closed for clock in clocks)

    document, figures = tmp_path / "networks.md", tmp_path / "networks.json"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    monkeypatch.setattr(networks, "FIGURES", figures)
    monkeypatch.setattr(networks, "measure", lambda _arch, _rounds: iter(found))
    monkeypatch.setattr(networks, "DOCUMENT", document)
    lines = list(networks.bench(["resnet34"], 2, "today", keep=True))
    assert sum(line.startswith("| resnet34 |") for line in lines) == 4
    assert list(json.loads(figures.read_text())) == ["resnet34"]
    text = document.read_text()
    assert text.startswith("before\n") and text.endswith(f"{END}\nafter\n") and "old" not in text
    assert text.count("| resnet34 |") == 5
