"""Writes the weight files that the readers' tests use, with PyTorch's and safetensors' own writers.

Run ``python -m scripts.write_weight_fixtures``. The files hold the tensors of :func:`reference` or
:func:`views`, except those of :func:`write_hostile`, which a reader must refuse.
"""

import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from scripts.architectures import TinyResNet

FOLDER = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "weights"


class Call:
    """An object that pickles as ``function(*args)``, which a careless reader runs."""

    def __init__(self, function: Callable[..., Any], *args: object) -> None:
        self.function = function
        self.args = args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.function, self.args


def reference(dtype: torch.dtype = torch.float32) -> OrderedDict[str, torch.Tensor]:
    """Tensors whose values every float type of the format holds exactly."""
    return OrderedDict(
        [
            ("conv.weight", (torch.arange(24) - 12).to(dtype).reshape(2, 3, 2, 2) / 4),
            ("bn.running_var", torch.tensor([1.5, 2.0**-14, 2.0**-15], dtype=dtype)),
            ("bn.num_batches_tracked", torch.tensor(2**40 + 1)),
            ("scalar", torch.tensor(-0.5, dtype=dtype)),
            ("empty", torch.zeros(0, 4, dtype=dtype)),
        ]
    )


def views() -> OrderedDict[str, torch.Tensor]:
    """The reference's convolution, and views of one storage that are not contiguous."""
    base = torch.arange(24, dtype=torch.float32)
    return OrderedDict(
        [
            ("whole", base),
            ("shared", base),
            ("transposed", base.reshape(4, 6).t()),
            ("sliced", base.reshape(4, 6)[1:3, 1::2]),
            ("permuted", base.reshape(2, 3, 4).permute(2, 0, 1)),
            ("expanded", base[5:6].expand(2, 3)),
            ("channels_last", base.reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)),
        ]
    )


def write_good(folder: Path) -> None:
    """Files that read as the reference (or as the views)."""
    save_file(
        dict(reference()), folder / "reference.safetensors", metadata={"made by": "safetensors"}
    )
    save_file(dict(reference(torch.float16)), folder / "float16.safetensors")
    save_file(dict(reference(torch.bfloat16)), folder / "bfloat16.safetensors")
    save_file(dict(reference(torch.float64)), folder / "float64.safetensors")
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        torch.save(reference(dtype), folder / f"{str(dtype).removeprefix('torch.')}.pth")
    torch.save(reference(), folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(reference(), folder / "protocol4.pth", pickle_protocol=4)
    torch.save({"epoch": 3, "lr": [0.1, None], "state_dict": reference()}, folder / "wrapped.pth")
    parameters = {
        name: torch.nn.Parameter(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in reference().items()
    }
    torch.save(parameters, folder / "parameters.pth")
    torch.serialization.set_crc32_options(False)
    torch.save(reference(), folder / "no_crc.pth")
    torch.serialization.set_crc32_options(True)
    contiguous = {name: tensor.contiguous().clone() for name, tensor in views().items()}
    save_file(contiguous, folder / "views.safetensors")
    torch.save(views(), folder / "views.pth")
    torch.save(views(), folder / "views_legacy.pth", _use_new_zipfile_serialization=False)
    # A real network's names and its _metadata, through the module's own state_dict.
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    torch.save(module.state_dict(), folder / "module.pth")
    save_file(module.state_dict(), folder / "module.safetensors")


def write_network(folder: Path) -> None:
    """The tests' network with three classes after a step's worth of statistics, and its logits."""
    torch.manual_seed(0)
    network = TinyResNet(3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    with torch.no_grad():
        network(torch.randn(8, 3, 32, 32))
        images = torch.randn(2, 3, 32, 32)
        logits = network.eval()(images)
    torch.save(network.state_dict(), folder / "tiny.pth")
    save_file({"images": images, "logits": logits}, folder / "tiny_logits.safetensors")


def tensor_call(
    offset: object, size: object, stride: object, elements: int = 6
) -> dict[str, object]:
    """A state_dict whose one tensor is described by the given numbers."""
    typed_storage: Callable[..., Any] = torch.TypedStorage
    data = torch.arange(elements, dtype=torch.float32).untyped_storage()
    storage = typed_storage(wrap_storage=data, dtype=torch.float32, _internal=True)
    rebuild: Callable[..., Any] = torch._utils._rebuild_tensor_v2
    return {"w": Call(rebuild, storage, offset, size, stride, False, OrderedDict())}


def write_hostile(folder: Path) -> None:
    """Files that must be refused."""
    marker = Call(print, "executed")
    for name, zipped in (("forbidden.pth", True), ("forbidden_legacy.pth", False)):
        torch.save(
            {"w": torch.zeros(1), "x": marker}, folder / name, _use_new_zipfile_serialization=zipped
        )
    cases = {
        "stride_outside": tensor_call(0, (2, 3), (4, 1)),
        "offset_outside": tensor_call(4, (3,), (1,)),
        "negative_offset": tensor_call(-1, (3,), (1,)),
        "negative_stride": tensor_call(5, (3,), (-1,)),
        "strides_missing": tensor_call(0, (2, 3), (1,)),
        "overflow": tensor_call(0, (2**31, 2**31, 2**31), (0, 0, 0)),
        "endless": tensor_call(0, (2**30,), (0,)),
        "many_dimensions": tensor_call(0, (1,) * 9, (1,) * 9),
        "not_numbers": tensor_call(0, ("2", 3.0), (3, 1)),
        "int32": {"w": torch.zeros(3, dtype=torch.int32)},
        "no_tensors": {"epoch": 3, "net": "resnet18"},
        "list": [torch.zeros(1)],
    }
    for name, content in cases.items():
        torch.save(content, folder / f"{name}.pth")
    with (
        zipfile.ZipFile(folder / "float32.pth") as source,
        zipfile.ZipFile(folder / "compressed.pth", "w", zipfile.ZIP_DEFLATED) as target,
        zipfile.ZipFile(folder / "big_endian.pth", "w") as big,
    ):
        for entry in source.infolist():
            data = source.read(entry)
            order = b"big" if entry.filename.endswith("/byteorder") else data
            target.writestr(zipfile.ZipInfo(entry.filename), data, zipfile.ZIP_DEFLATED)
            big.writestr(zipfile.ZipInfo(entry.filename), order)


def main() -> None:
    """Writes all files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.*"):
        old.unlink()
    write_good(FOLDER)
    write_network(FOLDER)
    write_hostile(FOLDER)


if __name__ == "__main__":
    main()
