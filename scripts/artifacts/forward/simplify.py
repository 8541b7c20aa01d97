"""The passes that make a forward graph plain, in their order.

After them every operator has a known gradient, or autodiff names the one that has none, and every
shape but N is a number.
"""

from __future__ import annotations

from collections.abc import Callable

from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass

from scripts.artifacts.forward.draft import Draft
from scripts.artifacts.forward.folding.fold import fold
from scripts.artifacts.forward.head import leave_out_softmax
from scripts.artifacts.forward.patterns.activations import fuse_activations
from scripts.artifacts.forward.patterns.einsum import write_einsums_as_products
from scripts.artifacts.forward.patterns.identities import remove_identities
from scripts.artifacts.forward.patterns.normalization import (
    fuse_layer_norms,
    write_out_instance_norms,
)
from scripts.artifacts.forward.patterns.padding import move_pads
from scripts.artifacts.forward.randomness import fuse_stochastic_depth, refuse_other_randomness

PASSES: tuple[Callable[[Draft], None], ...] = (
    fold,
    remove_identities,
    leave_out_softmax,
    move_pads,
    write_out_instance_norms,
    write_einsums_as_products,
    fold,
    fuse_layer_norms,
    # From here on the graph holds operators that shape inference does not know.
    fuse_activations,
    fuse_stochastic_depth,
    refuse_other_randomness,
)


def simplify(draft: Draft) -> None:
    """Rewrites the graph in place.

    Raises:
        NetworkError: a node cannot be trained.
    """
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(draft.model)
    for rewrite in PASSES:
        rewrite(draft)
        RemoveUnusedNodesPass()(draft.model)
