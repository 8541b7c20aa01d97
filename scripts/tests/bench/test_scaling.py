"""Checks the model of scaling: its fit, its formula, and the document made from it."""

from __future__ import annotations

import json

import pytest

from scripts.bench.scaling import Link, Model, document
from scripts.project import RESULTS

SIZES = [64, 65_536, 1_048_576, 44_710_152]
LINK = Link(latency=30e-6, per_byte=0.5e-9)
MODEL = Model(single=0.3, pair=0.35, batch=4, gradients=44_710_152)


@pytest.mark.parametrize("ranks", [2, 5])
def test_the_fit_finds_what_made_the_times(ranks: int) -> None:
    times = [(size, LINK.ring(ranks, size)) for size in SIZES]
    found = Link.fit(ranks, times)
    assert found.latency == pytest.approx(LINK.latency)
    assert found.per_byte == pytest.approx(LINK.per_byte)


def test_the_fit_weighs_small_messages_as_large_ones() -> None:
    times = [(size, LINK.ring(2, size) * (1.1 if size > 2e7 else 1)) for size in SIZES]
    assert Link.fit(2, times).latency == pytest.approx(LINK.latency, rel=0.05)


def test_a_ring() -> None:
    # Four ranks send six messages, each with a quarter of the buffer.
    assert Link(1, 0).ring(4, 100) == 6
    assert Link(0, 1).ring(4, 100) == 150
    assert Link(2, 3).ring(1, 100) == 0
    assert Link(0, 1e-9).limited(8e9, 0.5).per_byte == pytest.approx(3e-9)


def test_the_share_of_a_network_is_what_made_the_time() -> None:
    seconds = LINK.limited(1e9, 0.7).ring(2, 1e7)
    assert LINK.share(2, 1e9, 1e7, seconds) == pytest.approx(0.7)


def test_an_epoch_has_whole_steps() -> None:
    assert MODEL.epoch(1, 9, LINK) == pytest.approx(3 * 0.3)
    step = 0.35 + LINK.ring(2, MODEL.gradients)
    assert MODEL.epoch(2, 9, LINK) == pytest.approx(2 * step)
    assert MODEL.efficiency(2, 9, LINK) == pytest.approx(0.9 / (2 * step) / 2)


def test_more_ranks_than_batches_do_not_pay() -> None:
    assert MODEL.last_that_pays(4 * 16, LINK) == 16
    assert MODEL.last_that_pays(10**7, Link(0, 0)) == 256
    assert MODEL.last_that_pays(10**7, Link(1, 0)) == 1


def test_the_document_is_that_of_the_figures() -> None:
    figures = json.loads((RESULTS / "scaling.json").read_text())
    text = (RESULTS / "scaling.md").read_text()
    assert document(figures) == text
    figures["network"]["unlimited"][-1]["seconds"] *= 2
    assert document(figures) != text
