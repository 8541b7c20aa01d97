"""Times PyTorch's training steps (the tutorial's loop body); see step_driver.mjs."""

from __future__ import annotations

import json
import sys
import time

import torch
import torchvision  # type: ignore[import-untyped]
from torch import nn


def main() -> None:
    """Serves requests until standard input ends."""
    torch.set_num_threads(int(sys.argv[1]))
    model = torchvision.models.resnet18()
    model.fc = nn.Linear(model.fc.in_features, 2)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    for line in sys.stdin:
        batch = json.loads(line)["batch"]
        images = torch.rand(batch, 3, 224, 224) - 0.5
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
