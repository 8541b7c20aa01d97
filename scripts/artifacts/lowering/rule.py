"""The type of a lowering rule: builder, node and new inputs -> new outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder

Inputs = Sequence[ir.Value | None]
Outputs = Sequence[ir.Value | None]
Rule = Callable[[GraphBuilder, ir.Node, Inputs], Outputs]
