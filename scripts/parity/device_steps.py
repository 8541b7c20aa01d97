"""``npm run parity:device``: whole ResNet-18 steps on a GPU, against PyTorch in float64.

npm run parity:device -- swiftshader      # WebGPU in software: over a minute an image
npm run parity:device -- cuda --seeds 48  # or webgpu; TF32 is off

The bound on the gradient is for its median over the seeds. Single ones vary: where a ReLU decides
the other way on a difference in the last bits, all gradients before it move.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from scripts.parity.driver import Driver, Provider
from scripts.parity.one_step import StepErrors, Summary, step_errors

GRADIENT_RATIO = 2
LOSS = 1e-5
STATISTICS = 1e-4
SEEDS = 16


@dataclass(frozen=True)
class Place:
    """Where steps are taken: the provider, and what the driver's environment needs for it."""

    provider: Provider
    environment: Mapping[str, str]


def find_place(name: str) -> Place | None:
    """The place of that name; None for SwiftShader where there is none."""
    if name == "cuda":
        # In TF32 nothing would be as near to float64 as PyTorch's float32.
        return Place("cuda", {"NVIDIA_TF32_OVERRIDE": "0"})
    if name != "swiftshader":
        return Place("webgpu" if name == "webgpu" else "cpu", {})
    with Driver() as driver:
        icd = driver.find()["swiftShader"]
    return None if icd is None else Place("webgpu", {"VK_ICD_FILENAMES": icd})


def table(name: str, errors: list[StepErrors]) -> tuple[list[str], bool]:
    """Lines of a Markdown table, and whether every bound holds."""
    found = Summary.of(errors)
    rows = [
        (
            "whole gradient, median",
            f"≤ {GRADIENT_RATIO} × PyTorch float32's {found.torch_gradient:.1e}",
            found.gradient,
            found.gradient <= GRADIENT_RATIO * found.torch_gradient,
        ),
        ("worst loss", f"≤ {LOSS:.0e}", found.loss, found.loss <= LOSS),
        (
            "worst running statistic",
            f"≤ {STATISTICS:.0e}",
            found.statistics,
            found.statistics <= STATISTICS,
        ),
    ]
    lines = ["| what | bound | measured | |", "| --- | --- | --- | --- |"]
    for what, bound, measured, holds in rows:
        verdict = "holds" if holds else "**missed**"
        lines.append(f"| {name}: {what} | {bound} | {measured:.1e} | {verdict} |")
    return lines, all(holds for *_, holds in rows)


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="npm run parity:device --", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("device", choices=["swiftshader", "webgpu", "cuda", "cpu"])
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many (default {SEEDS})")
    options = parser.parse_args(arguments)
    place = find_place(options.device)
    if place is None:
        print("expected Chromium's SwiftShader, found none (Debian: chromium)", file=sys.stderr)
        return 1
    with Driver(place.environment) as driver:
        errors = step_errors(driver, range(options.seeds), provider=place.provider)
    for error in sorted(errors, key=lambda error: error.seed):
        print(
            f"seed {error.seed}, {error.classes} classes, batch {error.batch}: gradient "
            f"{error.gradient:.1e}, PyTorch float32's {error.torch_gradient:.1e}"
        )
    lines, holds = table(f"{options.device}, {options.seeds} seeds", errors)
    print("", *lines, sep="\n")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
