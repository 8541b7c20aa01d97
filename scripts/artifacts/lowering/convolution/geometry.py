"""The fixed numbers of a 2-D convolution, read from a node."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from scripts.artifacts.graph_builder import fixed, static_shape

LARGE_MAP_PIXELS = 400
"""Smallest number of pixels of a large output map: 28x28 is large, 14x14 is not.

A ResNet has most of its weights on small maps, where rearranging weights costs more than it saves.
On large maps, copying pixels does.
"""


@dataclass(frozen=True)
class Convolution:
    """The fixed numbers of one 2-D convolution."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    group: int
    in_channels: int
    out_channels: int
    in_size: tuple[int, int]
    out_size: tuple[int, int]

    @property
    def large_map(self) -> bool:
        """True if a pass over the output costs more than a pass over the weights."""
        return self.out_size[0] * self.out_size[1] >= LARGE_MAP_PIXELS

    @property
    def output_padding(self) -> list[int]:
        """ConvTranspose's attribute: rows and columns at the end of X that no window reaches.

        ConvTranspose adds them back, as zeros.
        """
        return [
            self.in_size[a]
            + self.pads[a]
            + self.pads[a + 2]
            - self.strides[a] * (self.out_size[a] - 1)
            - self.dilations[a] * (self.kernel[a] - 1)
            - 1
            for a in (0, 1)
        ]

    @staticmethod
    def of(node: ir.Node, x: ir.Value | None, weight: ir.Value | None) -> Convolution:
        """Reads attributes and shapes; only N may be symbolic."""
        _, channels, height, width = static_shape(x)
        out_channels, _, kernel_h, kernel_w = (fixed(d) for d in static_shape(weight))
        attributes = node.attributes
        auto_pad = attributes.get_string("auto_pad", "NOTSET")
        if auto_pad not in ("NOTSET", ""):
            raise NotImplementedError(f"expected explicit pads, got auto_pad={auto_pad}")
        strides = tuple(attributes.get_ints("strides", (1, 1)))
        dilations = tuple(attributes.get_ints("dilations", (1, 1)))
        pads = tuple(attributes.get_ints("pads", (0, 0, 0, 0)))
        kernel = (kernel_h, kernel_w)
        in_size = (fixed(height), fixed(width))
        out_size = tuple(
            (in_size[a] + pads[a] + pads[a + 2] - dilations[a] * (kernel[a] - 1) - 1) // strides[a]
            + 1
            for a in (0, 1)
        )
        return Convolution(
            kernel=kernel,
            strides=(strides[0], strides[1]),
            dilations=(dilations[0], dilations[1]),
            pads=(pads[0], pads[1], pads[2], pads[3]),
            group=attributes.get_int("group", 1),
            in_channels=fixed(channels),
            out_channels=out_channels,
            in_size=in_size,
            out_size=(out_size[0], out_size[1]),
        )
