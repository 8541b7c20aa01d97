"""Trains with PyTorch's DistributedDataParallel on the batches of test/long/mpi/epochs.ts.

``python -m scripts.parity.ddp SPEC.json`` prints the results as JSON, for ``npm run test:mpi``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DistributedSampler

from scripts.parity.trajectories import Distance, distance, doubles, medians
from scripts.reference.philox import random_state
from scripts.reference.torch_training import (
    Batch,
    Tensors,
    Trained,
    flat,
    make_model,
    relative_error,
    threads,
)

Spec = dict[str, Any]


@dataclass(frozen=True)
class RankRun:
    """Batches and results of one rank of this project.

    Attributes:
        indices: indices of all its images, in order.
        first: gradients of the first step, averaged over the ranks.
    """

    batches: list[Batch]
    indices: list[int]
    losses: torch.Tensor
    first: Tensors
    state: Tensors


def read(spec: Spec, seed: int, rank: int) -> RankRun:
    """Reads the file that test/long/mpi/epochs.ts wrote for a rank."""
    found = load_file(Path(spec["folder"]) / f"{seed}-{rank}.safetensors")

    def under(prefix: str) -> Tensors:
        return {n.removeprefix(prefix): t for n, t in found.items() if n.startswith(prefix)}

    steps = range(len(under("labels.")))
    return RankRun(
        batches=[Batch(found[f"images.{i}"], found[f"labels.{i}"]) for i in steps],
        indices=[int(i) for step in steps for i in found[f"indices.{step}"]],
        losses=found["losses"],
        first=under("first.momentum."),
        state=under("state."),
    )


@dataclass(frozen=True)
class Job:
    """A way to train with DistributedDataParallel: number of threads and floating-point type."""

    threads: int
    dtype: torch.dtype

    def path(self, spec: Spec, seed: int, rank: int) -> Path:
        """Returns the file in which ``rank`` saves its results."""
        name = f"torch-{seed}-{rank}-{self.threads}-{str(self.dtype)[6:]}.pt"
        return Path(spec["folder"]) / name


ONE, TWO = Job(1, torch.float), Job(2, torch.float)
EXACT = Job(1, torch.double)


def train(spec: Spec, seed: int, batches: list[Batch], job: Job) -> tuple[Trained, Tensors]:
    """Trains one rank; returns its results and the averaged gradients of its first step."""
    model: nn.Module = make_model(spec["arch"], spec["classes"], 0)
    if dist.get_rank() == 0:
        # DistributedDataParallel sends rank 0's weights to the other ranks.
        model.load_state_dict(random_state(spec["arch"], spec["classes"], seed))
    model = model.to(job.dtype)
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=spec["lr"], momentum=spec["momentum"])
    per_epoch = -(-len(batches) // spec["epochs"])
    first: Tensors = {}
    losses = []
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = spec["lr"] * spec["gamma"] ** (step // per_epoch)
        optimizer.zero_grad()
        loss = F.cross_entropy(parallel(batch.images.to(job.dtype)), batch.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        if step == 0:
            first = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        optimizer.step()
        losses.append(loss.item())
    buffers = {n: optimizer.state[p]["momentum_buffer"] for n, p in model.named_parameters()}
    return Trained(losses, dict(model.state_dict()), buffers), first


def work(rank: int, spec: Spec, jobs: list[Job]) -> None:
    """Runs one process of the group: trains for every seed and job, and saves the results."""
    rendezvous = Path(spec["folder"]) / "rendezvous"
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=spec["ranks"]
    )
    for seed in spec["seeds"]:
        batches = read(spec, seed, rank).batches
        if spec["compare"] == "gradients":
            batches = batches[:1]
        for job in jobs:
            with threads(job.threads):
                torch.save(train(spec, seed, batches, job), job.path(spec, seed, rank))
    dist.destroy_process_group()


def results(spec: Spec, seed: int, job: Job) -> tuple[Trained, Tensors]:
    """Reads rank 0's results, with the losses of all ranks."""
    all_ranks = [
        torch.load(job.path(spec, seed, rank), weights_only=False) for rank in range(spec["ranks"])
    ]
    trained, first = all_ranks[0]
    losses = [loss for one, _ in all_ranks for loss in one.losses]
    return Trained(losses, trained.state, trained.momentum), first


def sampled_alike(shards: list[list[int]], epochs: int) -> bool:
    """Tells if DistributedSampler splits some permutation of each epoch into the same shards."""
    length = len(shards[0]) // epochs
    for epoch in range(epochs):
        parts = [shard[epoch * length : (epoch + 1) * length] for shard in shards]
        padded = [index for together in zip(*parts, strict=True) for index in together]
        order = padded[: len(set(padded))]
        if sorted(order) != list(range(len(order))):
            return False
        for rank, part in enumerate(parts):
            sampler = DistributedSampler(order, len(shards), rank, shuffle=False)  # type: ignore[arg-type,var-annotated]
            if [order[i] for i in sampler] != part:
                return False
    return True


def same_weights(seen: list[RankRun], names: list[str]) -> bool:
    """Tells if all ranks ended with bitwise equal weights."""
    return all(torch.equal(one.state[n], seen[0].state[n]) for one in seen for n in names)


def gradients(spec: Spec) -> dict[str, Any]:
    """Compares the gradients of the first steps with float64 and with PyTorch's.

    Returns:
        Medians over the seeds of the distances from float64, ``ours`` and ``torch``, and the
        largest distance ``apart`` between the two.
    """
    ours, theirs, apart = [], [], []
    for seed in spec["seeds"]:
        found = read(spec, seed, 0).first
        exact, single = results(spec, seed, EXACT)[1], results(spec, seed, ONE)[1]
        names = list(exact)
        vectors = [flat(tensors, names) for tensors in (found, single, exact)]
        ours.append(relative_error(vectors[0], vectors[2]))
        theirs.append(relative_error(vectors[1], vectors[2]))
        apart.append(relative_error(vectors[0], vectors[1]))
    return {"ours": median(ours), "torch": median(theirs), "apart": max(apart)}


def trajectories(spec: Spec) -> dict[str, Any]:
    """Compares whole trainings: medians of distances from PyTorch with two threads and float64."""
    names = ("ours", "torch", "oursExact", "torchExact")
    found: dict[str, list[Distance]] = {name: [] for name in names}
    for seed in spec["seeds"]:
        start = random_state(spec["arch"], spec["classes"], seed)
        one, two, exact = (results(spec, seed, job)[0] for job in (ONE, TWO, EXACT))
        seen = [read(spec, seed, rank) for rank in range(spec["ranks"])]
        losses = torch.cat([rank.losses for rank in seen])
        for name, reference in (("ours", two), ("oursExact", exact)):
            found[name].append(distance(losses, seen[0].state, reference, start))
        for name, theirs, reference in (("torch", one, two), ("torchExact", two, exact)):
            found[name].append(distance(doubles(theirs.losses), theirs.state, reference, start))
    return {name: asdict(medians(distances)) for name, distances in found.items()}


def main() -> None:
    """Runs the command: trains, and prints the figures."""
    spec: Spec = json.loads(Path(sys.argv[1]).read_text())
    kinds: dict[str, tuple[list[Job], Callable[[Spec], dict[str, Any]]]] = {
        "gradients": ([ONE, EXACT], gradients),
        "trajectories": ([ONE, TWO, EXACT], trajectories),
    }
    jobs, compare = kinds[spec["compare"]]
    # Waiting threads must not take processor time from other ranks.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    spawn(work, (spec, jobs), nprocs=spec["ranks"])  # type: ignore[no-untyped-call]
    checks = {"sampler": True, "sameWeights": True}
    for seed in spec["seeds"]:
        seen = [read(spec, seed, rank) for rank in range(spec["ranks"])]
        checks["sampler"] &= sampled_alike([rank.indices for rank in seen], spec["epochs"])
        checks["sameWeights"] &= same_weights(seen, list(seen[0].first))
    steps = len(seen[0].batches)
    print(json.dumps({**compare(spec), **checks, "steps": steps}))


if __name__ == "__main__":
    main()
