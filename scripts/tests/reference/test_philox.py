"""The random numbers that the Python and the TypeScript side share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scripts.parity.bridge import Bridge
from scripts.reference.philox import masks, normal, philox4x32, random_state, signs, uniform, words


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (
            [0xFFFFFFFF] * 4,
            [0xFFFFFFFF] * 2,
            [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
        ),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_known_answers_of_random123(
    counter: list[int], key: list[int], expected: list[int]
) -> None:
    found = philox4x32(np.array(counter, np.uint64), np.array(key, np.uint64))
    assert found.tolist() == expected


def test_streams_differ_and_prefixes_do_not() -> None:
    assert words(9, 1, "trial").tolist() == words(12, 1, "trial").tolist()[:9]
    assert words(8, 1, "trial").tolist() != words(8, 1, "weights").tolist()
    assert words(8, 1, "trial", 1).tolist() != words(8, 1, "trial", 0, 1).tolist()
    assert words(8, 2**40, "trial").tolist() != words(8, 0, "trial").tolist()


def test_distributions() -> None:
    draws = uniform(100_000, 3, "trial")
    assert draws.min() >= 0 and draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.005
    draws = normal(100_001, 3, "trial")
    assert len(draws) == 100_001
    assert abs(draws.mean()) < 0.02 and abs(draws.std() - 1) < 0.02
    assert set(signs(1000, 0, 0)) == {-1, 1}
    assert abs(signs(100_000, 1, 2).mean()) < 0.02


def test_the_random_weights_of_training() -> None:
    """Compares up to the last bit, in which the sine and logarithm of the two libraries differ."""
    expected = random_state("tiny", 3, seed=2**33 + 5)
    with Bridge() as bridge:
        found = bridge.initial_state("tiny", "random", 3, seed=2**33 + 5)
    assert {name for name in found if not name.startswith("momentum.")} == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor, rtol=2e-7, atol=0)


def test_masks_are_the_drivers() -> None:
    """Compares with the values of test/unit/data/masks.test.ts."""
    entries = [
        {"offset": 0, "width": 1, "p": 0.75},
        {"offset": 1, "width": 3, "p": 0},
        {"offset": 4, "width": 8, "p": 0.5},
    ]
    found = masks({"width": 12, "entries": entries}, 4, 2, [6, 0])
    assert found.tolist() == [
        [0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 2, 2],
        [0, 1, 1, 1, 2, 0, 0, 0, 2, 2, 0, 0],
    ]
