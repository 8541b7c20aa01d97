"""Times PyTorch's training steps (the tutorial's loop body); see step_driver.mjs.

Arguments: threads, network.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torch import nn

from scripts.reference.philox import manifest
from scripts.reference.torch_training import make_model


def main() -> None:
    """Serves requests until standard input ends."""
    torch.set_num_threads(int(sys.argv[1]))
    arch = sys.argv[2]
    model = make_model(arch, 2, seed=0)
    size = manifest(arch)["preprocessing"]["inputSize"]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    for line in sys.stdin:
        batch = json.loads(line)["batch"]
        images = torch.rand(batch, 3, size, size) - 0.5
        labels = torch.arange(batch) % 2
        steps = max(1, min(8, 32 // batch))
        start = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            loss.item()
        milliseconds = (time.perf_counter() - start) * 1000 / steps
        print(json.dumps({"ms": milliseconds}), flush=True)


if __name__ == "__main__":
    main()
