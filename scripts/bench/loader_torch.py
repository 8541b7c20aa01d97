"""Times epochs of torch's DataLoader with the tutorial's transforms; see loader_driver.mjs."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Serves requests until standard input ends."""
    import torch
    from torchvision import datasets, transforms  # type: ignore[import-untyped]

    pipeline = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    images = datasets.ImageFolder(str(Path(sys.argv[1]) / "train"), pipeline)
    # Keep the workers between epochs, as this project does: do not time their start.
    loader = torch.utils.data.DataLoader(
        images, batch_size=4, shuffle=True, num_workers=4, persistent_workers=True
    )
    for _ in sys.stdin:
        start = time.perf_counter()
        for _batch in loader:
            pass
        print(json.dumps({"ms": (time.perf_counter() - start) * 1000 / len(images)}), flush=True)


if __name__ == "__main__":
    main()
