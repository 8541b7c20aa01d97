"""The two preprocessing graphs: one decoded image in, the network's normalised pixels out.

They are torchvision's transforms on Pillow images, written as standard ONNX operators. Training,
evaluation and prediction share this definition wherever an ONNX Runtime runs:

- training: ``F.resized_crop``, ``F.hflip``, ``ToTensor``, ``Normalize``. The crop box and the flip
  are inputs; the data loader draws them.
- evaluation: ``Resize(resize_size)``, ``CenterCrop(input_size)``, ``ToTensor``, ``Normalize``.

``Resize`` with ``antialias=1`` on uint8 computes what Pillow computes: a filter that widens with
the scale, along one axis and then the other, rounded and clipped to uint8 after each. The filter
is a triangle (bilinear) or Keys' cubic with a = -0.5 (bicubic; Keys 1981). Pillow computes its
weights in double precision and ONNX Runtime in single, so that they differ in the last of 22 bits.
The largest difference found is two levels of 255.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Resize has `antialias` from opset 18 on.
OPSET = 20
IR_VERSION = 10
PRODUCER = "ort-finetune"

Interpolation = Literal["bilinear", "bicubic"]

RESIZE_MODE: dict[Interpolation, dict[str, Any]] = {
    "bilinear": {"mode": "linear"},
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5},
}
"""Attributes of ``Resize`` for each of Pillow's filters."""


@dataclass(frozen=True)
class Transforms:
    """Settings of a network's transforms.

    Attributes:
        input_size: side of the square that the network sees, in pixels.
        resize_size: length of the shorter side before evaluation's centre crop, in pixels.
        mean: mean of each channel, of pixels scaled to [0, 1].
        std: standard deviation of each channel, of pixels scaled to [0, 1].

    Raises:
        ValueError: ``resize_size < input_size``. torchvision would pad the crop with black, but
            the graph cannot.
    """

    input_size: int
    resize_size: int
    mean: Sequence[float]
    std: Sequence[float]
    interpolation: Interpolation

    def __post_init__(self) -> None:
        if self.resize_size < self.input_size:
            raise ValueError(
                f"expected resize_size >= input_size, got {self.resize_size} and {self.input_size}"
            )


def _constant(name: str, values: Sequence[int] | Sequence[float], dtype: type) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=dtype), name)


def _normalise(resized: str) -> list[onnx.NodeProto]:
    """Returns ToTensor and Normalize: uint8 [S,S,3] to float32 [3,S,S] = (x / 255 - mean) / std.

    Three operators in torchvision's order, instead of one multiplication and one addition, round
    as torchvision does: equal pixels give bitwise equal floats.
    """
    return [
        helper.make_node("Transpose", [resized], ["planar"], perm=[2, 0, 1]),
        helper.make_node("Cast", ["planar"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["levels", "full_scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["pixels"]),
    ]


def _normalise_constants(transforms: Transforms) -> list[TensorProto]:
    return [
        _constant("full_scale", [255.0], np.float32),
        numpy_helper.from_array(np.array(transforms.mean, np.float32).reshape(3, 1, 1), "mean"),
        numpy_helper.from_array(np.array(transforms.std, np.float32).reshape(3, 1, 1), "std"),
    ]


def _resize(
    image: str, height_width: str, resized: str, interpolation: Interpolation
) -> list[onnx.NodeProto]:
    """Returns Pillow's antialiased resize: uint8 [H,W,3] to [height,width,3].

    Pillow and ONNX Runtime both filter along the width first and round to uint8 in between. From
    version 13 on, Pillow filters along the height first if the height shrinks by more than twice
    the pixels that the width shrinks by. (Older versions never do. On noise, bilinear results
    then differ by one level and bicubic ones, which are clipped between the axes, by up to 20.)
    Hence two ``Resize``: in that case the first changes the height, otherwise it is a copy.

    Past an edge Pillow leaves out weights and does not repeat pixels, hence ``exclude_outside``.

    Args:
        image: name of the input.
        height_width: name of an int64 [2], the new size.
        resized: name to give the result.
    """

    def resize(source: str, shape: str, result: str) -> onnx.NodeProto:
        return helper.make_node(
            "Resize",
            [source, "", "", shape],
            [result],
            antialias=1,
            exclude_outside=1,
            coordinate_transformation_mode="half_pixel",
            **RESIZE_MODE[interpolation],
        )

    return [
        helper.make_node("Shape", [image], ["before"], start=0, end=2),
        helper.make_node("Sub", ["before", height_width], ["shrink"]),
        helper.make_node("Split", ["shrink"], ["shrink_height", "shrink_width"], num_outputs=2),
        helper.make_node("Add", ["shrink_width", "shrink_width"], ["twice_width"]),
        helper.make_node("Max", ["twice_width", "zero"], ["threshold"]),
        helper.make_node("Greater", ["shrink_height", "threshold"], ["height_first"]),
        helper.make_node("Split", ["before"], ["height_before", "width_before"], num_outputs=2),
        helper.make_node("Split", [height_width], ["height_after", "width_after"], num_outputs=2),
        helper.make_node("Where", ["height_first", "height_after", "height_before"], ["first"]),
        helper.make_node("Concat", ["one", "first", "width_before", "three"], ["shape_1"], axis=0),
        helper.make_node("Concat", ["one", height_width, "three"], ["shape_2"], axis=0),
        helper.make_node("Unsqueeze", [image, "zero"], ["pass_0"]),
        resize("pass_0", "shape_1", "pass_1"),
        resize("pass_1", "shape_2", "pass_2"),
        helper.make_node("Squeeze", ["pass_2", "zero"], [resized]),
    ]


_RESIZE_CONSTANTS = [
    _constant("zero", [0], np.int64),
    _constant("one", [1], np.int64),
    _constant("three", [3], np.int64),
]


def _model(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[TensorProto],
    size: int,
) -> onnx.ModelProto:
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [3, size, size])
    graph = helper.make_graph(nodes, name, inputs, [pixels], constants)
    for node in graph.node:
        node.name = node.output[0]
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    model.producer_name = PRODUCER
    onnx.checker.check_model(model, full_check=True)
    return model


def _image_input() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("image", TensorProto.UINT8, ["H", "W", 3])


def build_preprocess_train(transforms: Transforms) -> onnx.ModelProto:
    """Returns training's graph: crop, resize, flip, normalise.

    Inputs: ``image`` uint8 [H,W,3]; ``box`` int64 [4] = top, left, height, width, not empty and
    inside the image; ``flip`` bool []. Output: ``pixels`` float32 [3,size,size].

    The crop comes before the resize, as in torchvision: the filter reads no pixel outside the box.
    """
    size = transforms.input_size
    nodes = [
        helper.make_node("Split", ["box"], ["corner", "extent"], axis=0, num_outputs=2),
        helper.make_node("Add", ["corner", "extent"], ["end"]),
        helper.make_node("Slice", ["image", "corner", "end", "axes_hw"], ["crop"]),
        *_resize("crop", "size", "resized", transforms.interpolation),
        # Take a slice along the width, backwards if flipped.
        helper.make_node("Where", ["flip", "last", "zero"], ["flip_start"]),
        helper.make_node("Where", ["flip", "before_first", "after_last"], ["flip_end"]),
        helper.make_node("Where", ["flip", "backward", "forward"], ["flip_step"]),
        helper.make_node(
            "Slice",
            ["resized", "flip_start", "flip_end", "axis_w", "flip_step"],
            ["flipped"],
        ),
        *_normalise("flipped"),
    ]
    constants = [
        _constant("axes_hw", [0, 1], np.int64),
        _constant("axis_w", [1], np.int64),
        _constant("size", [size, size], np.int64),
        _constant("last", [size - 1], np.int64),
        _constant("after_last", [size], np.int64),
        # A negative end counts from the end of the axis: -size - 1 is the place before index 0.
        _constant("before_first", [-size - 1], np.int64),
        _constant("forward", [1], np.int64),
        _constant("backward", [-1], np.int64),
        *_RESIZE_CONSTANTS,
        *_normalise_constants(transforms),
    ]
    inputs = [
        _image_input(),
        helper.make_tensor_value_info("box", TensorProto.INT64, [4]),
        helper.make_tensor_value_info("flip", TensorProto.BOOL, []),
    ]
    return _model("preprocess_train", nodes, inputs, constants, size)


def build_preprocess_evaluate(transforms: Transforms) -> onnx.ModelProto:
    """Returns evaluation's graph: resize, crop the centre, normalise.

    Input: ``image`` uint8 [H,W,3]. Output: ``pixels`` float32 [3,size,size].

    torchvision's rules: the longer side becomes ``int(resize_size * long / short)``, and the crop
    starts at ``round((side - input_size) / 2)``. Python and ONNX both round half to even.
    """
    size = transforms.input_size
    nodes = [
        helper.make_node("Shape", ["image"], ["height_width"], start=0, end=2),
        helper.make_node("ReduceMin", ["height_width"], ["short"]),
        helper.make_node("Mul", ["height_width", "resize"], ["enlarged"]),
        # The shorter side divides to exactly `resize`. For the longer one, integer division
        # truncates as torchvision's int() does.
        helper.make_node("Div", ["enlarged", "short"], ["resized_height_width"]),
        *_resize("image", "resized_height_width", "resized", transforms.interpolation),
        helper.make_node("Sub", ["resized_height_width", "size"], ["margin"]),
        helper.make_node("Cast", ["margin"], ["margin_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["margin_float", "half"], ["offset"]),
        helper.make_node("Round", ["offset"], ["corner_float"]),
        helper.make_node("Cast", ["corner_float"], ["corner"], to=TensorProto.INT64),
        helper.make_node("Add", ["corner", "size"], ["end"]),
        helper.make_node("Slice", ["resized", "corner", "end", "axes_hw"], ["cropped"]),
        *_normalise("cropped"),
    ]
    constants = [
        _constant("axes_hw", [0, 1], np.int64),
        _constant("size", [size, size], np.int64),
        _constant("resize", [transforms.resize_size], np.int64),
        _constant("half", [0.5], np.float32),
        *_RESIZE_CONSTANTS,
        *_normalise_constants(transforms),
    ]
    return _model("preprocess_evaluate", nodes, [_image_input()], constants, size)
