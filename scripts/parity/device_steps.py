"""``npm run parity:device``: row 3's float32 steps of a whole network, on a GPU.

npm run parity:device -- swiftshader      # WebGPU in software: over a minute per image
npm run parity:device -- cuda --seeds 48  # or webgpu; TF32 is off

The bound holds for the median of the gradient's error over the seeds. The errors of single seeds
vary widely: if a difference in the last bits changes the sign of a ReLU's input, the gradients of
all earlier layers change.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from scripts.parity.bridge import Bridge, Provider
from scripts.parity.gradients import whole_steps
from scripts.parity.one_step import step_errors
from scripts.parity.report import table

ARCH = "resnet18"
SEEDS = 16


@dataclass(frozen=True)
class Device:
    """A device: the execution provider, and the environment variables that it needs."""

    provider: Provider
    environment: Mapping[str, str]


def find_device(name: str) -> Device | None:
    """Returns the device of that name, or None for SwiftShader if it is not installed."""
    if name == "cuda":
        # Turn TF32 off: its results are further from float64 than PyTorch's float32 results.
        return Device("cuda", {"NVIDIA_TF32_OVERRIDE": "0"})
    if name != "swiftshader":
        return Device("webgpu" if name == "webgpu" else "cpu", {})
    with Bridge() as bridge:
        icd = bridge.find()["swiftShader"]
    return None if icd is None else Device("webgpu", {"VK_ICD_FILENAMES": icd})


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="npm run parity:device --", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("device", choices=["swiftshader", "webgpu", "cuda", "cpu"])
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many (default {SEEDS})")
    parser.add_argument("--arch", default=ARCH, help=f"the network (default {ARCH})")
    options = parser.parse_args(arguments)
    device = find_device(options.device)
    if device is None:
        print(
            "expected Chromium's SwiftShader, found none; on Debian install chromium",
            file=sys.stderr,
        )
        return 1
    with Bridge(device.environment) as bridge:
        seeds = range(options.seeds)
        errors = step_errors(bridge, seeds, options.arch, provider=device.provider)
    for error in sorted(errors, key=lambda error: error.seed):
        print(
            f"seed {error.seed}, {error.classes} classes, batch {error.batch}: gradient "
            f"{error.gradient:.1e}, PyTorch float32's {error.torch_gradient:.1e}"
        )
    rows = list(whole_steps(options.arch, errors))
    print(f"\nOn {options.device}:\n\n{table(rows)}", end="")
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
