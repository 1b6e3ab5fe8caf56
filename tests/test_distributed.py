import time

import pytest
import torch.distributed as dist

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
