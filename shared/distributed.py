"""What the processes of a data-parallel run do together (nothing in a single process), and what one may use."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

GRACE = 0.5  # seconds


def has_group() -> bool:
    """Whether this process belongs to a group, be it the only one in it."""
    return dist.is_available() and dist.is_initialized()


def is_distributed() -> bool:
    """Whether more than one process takes part."""
    return world_size() > 1


def rank() -> int:
    """The number of this process, 0 in a single one; the process of rank 0 writes files."""
    return dist.get_rank() if has_group() else 0


def world_size() -> int:
    """The number of processes, 1 for a single one."""
    return dist.get_world_size() if has_group() else 1


def barrier() -> None:
    """Wait until all processes have come here, for example until rank 0 has written what the others read."""
    if is_distributed():
        dist.barrier()


def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all ranks, in one collective per data type."""

    def reduce(flat: Tensor) -> None:
        dist.all_reduce(flat)
        flat.div_(dist.get_world_size())

    if is_distributed():
        _as_one_buffer(tensors, reduce)


def broadcast(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by that of rank 0, in one collective per data type."""
    if is_distributed():
        _as_one_buffer(tensors, lambda flat: dist.broadcast(flat, 0))


def agree(flag: Tensor) -> Tensor:
    """Return whether the flag, a boolean tensor without dimensions, is set on all ranks; without reading it."""
    if not is_distributed():
        return flag
    vote = flag.float()
    dist.all_reduce(vote, op=dist.ReduceOp.MIN)
    return vote > 0


def data_parallel(module: nn.Module) -> nn.Module:
    """Return the network as one that trains on all ranks; one without anything to train (no task) as it is."""
    return DistributedDataParallel(module) if any(p.requires_grad for p in module.parameters()) else module


def gather(items: Sequence[str]) -> list[str]:
    """Return the items of all ranks, those of rank 0 first; every rank gets the same list."""
    if not is_distributed():
        return list(items)
    parts: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, list(items))
    return [item for part in parts for item in part]


def leave() -> None:
    """Leave the group of processes; the last thing that a process does in it.

    Gloo's threads give back the tensors of a collective a little after the caller has its result, and need Python for
    it. An interpreter that ends in between aborts, "terminate called without an active exception" (PyTorch's pull
    request 179291 describes it); ``destroy_process_group`` does not wait for these threads, and they cannot be asked.
    So the process gives them time.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return
    if "gloo" in dist.get_backend():
        time.sleep(GRACE)
    dist.destroy_process_group()


def _as_one_buffer(tensors: Sequence[Tensor], operation: Callable[[Tensor], None]) -> None:
    by_type: dict[torch.dtype, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        by_type[tensor.dtype].append(tensor.detach())
    for group in by_type.values():
        flat = torch.cat([t.reshape(-1) for t in group])
        operation(flat)
        pieces = flat.split([t.numel() for t in group])
        torch._foreach_copy_(group, [p.view_as(t) for p, t in zip(pieces, group, strict=True)])


def usable_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
