import time

import pytest
import torch
import torch.distributed as dist
from torch import nn

from shared import distributed


@pytest.mark.parametrize("backend", ["gloo", "cpu:gloo"])
def test_a_process_gives_the_threads_of_gloo_time_before_it_leaves(tmp_path, backend):
    """Without it 10 to 20 of 100 pairs of processes that ended at once were aborted."""
    dist.init_process_group(backend, f"file://{tmp_path}/store", rank=0, world_size=1)
    start = time.perf_counter()
    distributed.leave()
    assert time.perf_counter() - start >= distributed.GRACE
    assert not dist.is_initialized()


def test_leaving_no_group_does_nothing():
    start = time.perf_counter()
    distributed.leave()
    assert time.perf_counter() - start < distributed.GRACE


def test_a_single_process_waits_for_nobody():
    distributed.barrier()
    assert distributed.gather(["a", "b"]) == ["a", "b"]
    assert (distributed.rank(), distributed.world_size()) == (0, 1)


def test_a_network_without_parameters_is_left_as_it_is(tmp_path):
    """A run without recognition has an empty ensemble, which DistributedDataParallel refuses."""
    empty, frozen = nn.ModuleList(), nn.Linear(1, 1).requires_grad_(False)
    dist.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert distributed.data_parallel(empty) is empty
        assert distributed.data_parallel(frozen) is frozen
        network = nn.Linear(1, 1)
        parallel = distributed.data_parallel(network)
        assert isinstance(parallel, nn.parallel.DistributedDataParallel)
        assert torch.equal(parallel(torch.ones(1, 1)), network(torch.ones(1, 1)))
    finally:
        distributed.leave()
