"""The tutorial's job in PyTorch: one epoch, training and validation, 4 workers, weights saved.

Prints one JSON line: the seconds from the start of the process, imports included, to each mark.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

START = float(sys.argv[3])


def main() -> None:
    """Trains for one epoch on ``sys.argv[1]``; writes the weights to ``sys.argv[2]``."""
    import torch
    import torchvision  # type: ignore[import-untyped]
    from torch import nn
    from torchvision import datasets, transforms

    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    pipelines = {
        "train": transforms.Compose(
            [
                transforms.RandomResizedCrop(224),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                normalise,
            ]
        ),
        "val": transforms.Compose(
            [
                transforms.Resize(256),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                normalise,
            ]
        ),
    }
    sets = {name: datasets.ImageFolder(str(data / name), pipelines[name]) for name in pipelines}
    loaders = {
        name: torch.utils.data.DataLoader(sets[name], batch_size=4, shuffle=True, num_workers=4)
        for name in sets
    }
    model = torchvision.models.resnet18()
    model.fc = nn.Linear(model.fc.in_features, len(sets["train"].classes))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    marks: dict[str, float] = {}
    for phase in ("train", "val"):
        model.train(phase == "train")
        began = time.time()
        correct = 0
        for images, labels in loaders[phase]:
            marks.setdefault("firstStep", time.time() - START)
            optimizer.zero_grad()
            with torch.set_grad_enabled(phase == "train"):
                outputs = model(images)
                loss = criterion(outputs, labels)
                if phase == "train":
                    loss.backward()
                    optimizer.step()
            loss.item()
            correct += int((outputs.argmax(1) == labels).sum())
        if phase == "train":
            scheduler.step()
        marks[phase] = time.time() - began
        marks[f"{phase}Accuracy"] = correct / len(sets[phase])
    torch.save(model.state_dict(), out)
    marks["saved"] = time.time() - START
    print(json.dumps(marks))


if __name__ == "__main__":
    main()
