"""Checks that PyTorch's random layers take the masks that they are given."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from timm.layers.drop import DropPath
from torch import nn

from scripts.reference.masks import Masks, given_masks, random_masks


def layout(*layers: tuple[int, float]) -> dict[str, Any]:
    """Returns a manifest's ``masks`` of layers (width, p)."""
    entries: list[dict[str, Any]] = []
    for width, p in layers:
        offset = sum(entry["width"] for entry in entries)
        entries.append({"offset": offset, "width": width, "p": p})
    return {"width": sum(width for width, _ in layers), "entries": entries}


def masks(*layers: tuple[int, float]) -> Masks:
    """Draws masks of two images."""
    found = random_masks(layout(*layers), 2, seed=0)
    assert found is not None
    return found


def test_every_kind_of_layer_takes_its_mask() -> None:
    given = masks((1, 0.5), (1, 0.25), (12, 0.2))
    x = torch.ones(2, 3, 2, 2, dtype=torch.double, requires_grad=True)
    layers = [torchvision.ops.StochasticDepth(0.5, "row"), DropPath(0.25), nn.Dropout(0.2)]
    with given_masks(given):
        y = nn.Sequential(*layers)(x)
    y.sum().backward()
    values = given.values.double()
    expected = (values[:, :1] * values[:, 1:2] * values[:, 2:]).reshape(2, 3, 2, 2)
    torch.testing.assert_close(y.detach(), expected, rtol=1e-7, atol=0)
    torch.testing.assert_close(x.grad, expected, rtol=1e-7, atol=0)


def test_layers_that_do_not_draw_take_none() -> None:
    x = torch.ones(2, 8)
    with given_masks(masks()):
        assert torch.equal(nn.Dropout(0.0)(x), x)
        assert torch.equal(nn.Dropout(0.5).eval()(x), x)
    with given_masks(None):
        assert not torch.equal(nn.Dropout(0.5)(x), x)
    assert random_masks(None, 2, seed=0) is None


def test_random_masks_keep_the_mean() -> None:
    found = random_masks(layout((10_000, 0.2)), 2, seed=0)
    assert found is not None
    assert set(found.values.flatten().tolist()) == {0, 1.25}
    assert found.values.mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("width", "p"), [(8, 0.4), (4, 0.5)])
def test_other_layers_are_refused(width: int, p: float) -> None:
    with (
        pytest.raises(ValueError, match=r"got p = 0\.5 on \[2, 8\]"),
        given_masks(masks((width, p))),
    ):
        nn.Dropout(0.5)(torch.ones(2, 8))


def test_another_number_of_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="expected no further random layer"), given_masks(masks()):
        nn.Dropout(0.5)(torch.ones(2, 8))
    with pytest.raises(ValueError, match="expected 1 further"), given_masks(masks((8, 0.5))):
        pass
