"""Times training steps of onnxruntime-training 1.19.2 with its native kernels.

See step_driver.mjs for requests and answers. Its SGD has no momentum, so its step does less than
the other two.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.training import artifacts
from onnxruntime.training.api import CheckpointState, Module, Optimizer

from scripts.artifacts.forward.export import export_forward
from scripts.artifacts.graph_builder import IR_VERSION
from scripts.artifacts.networks import find_network


def main() -> None:
    """Serves requests until standard input ends."""
    threads = int(sys.argv[1])
    torch.manual_seed(0)
    architecture = find_network("resnet18")
    model = architecture.build(2)
    forward = export_forward(model, architecture.input_size)
    weights = model.state_dict()
    for initializer in forward.graph.initializer:
        if initializer.name in weights:
            initializer.raw_data = weights[initializer.name].numpy().tobytes()
    with tempfile.TemporaryDirectory() as folder:
        saved = os.dup(1)
        os.dup2(2, 1)  # the tools log to standard output, which must hold answers only
        artifacts.generate_artifacts(
            forward,
            requires_grad=[name for name, _ in model.named_parameters()],
            loss=artifacts.LossType.CrossEntropyLoss,
            optimizer=artifacts.OptimType.SGD,
            artifact_directory=folder,
        )
        for path in Path(folder).glob("*.onnx"):
            # The installed onnx writes a newer IR version than 1.19.2 can read.
            written = onnx.load(path)
            written.ir_version = IR_VERSION
            onnx.save(written, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        state = CheckpointState.load_checkpoint(str(Path(folder) / "checkpoint"))
        # Leave out the evaluation model: it has BatchNorm's training outputs, which the runtime
        # refuses, and a training step does not need it.
        training = str(Path(folder) / "training_model.onnx")
        module = Module(training, state, device="cpu", session_options=options)
        optimizer = Optimizer(str(Path(folder) / "optimizer_model.onnx"), module)
        os.dup2(saved, 1)
    optimizer.set_learning_rate(0.001)
    module.train()
    generator = np.random.default_rng(0)
    for line in sys.stdin:
        batch = json.loads(line)["batch"]
        images = generator.random((batch, 3, 224, 224), dtype=np.float32) - np.float32(0.5)
        labels = np.arange(batch, dtype=np.int64) % 2
        steps = max(1, min(8, 32 // batch))
        start = time.perf_counter()
        for _ in range(steps):
            module(images, labels)
            optimizer.step()
            module.lazy_reset_grad()
        milliseconds = (time.perf_counter() - start) * 1000 / steps
        print(json.dumps({"ms": milliseconds}), flush=True)


if __name__ == "__main__":
    main()
