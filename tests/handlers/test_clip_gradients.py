"""The bound on the gradient, against torch's own function in a loop by hand."""

import pytest
import torch
import torch.nn.functional as F
from monai.engines import SupervisedTrainer
from torch import nn

from shared.errors import InputError
from shared.handlers import GradPromHandler
from shared.handlers.clip_gradients import ClipGradients
from tests.handlers.reference import RATE, System, batches
from tests.handlers.test_gradprom import Scaler


def train(system, handlers, data, accumulation_steps=1):
    SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=data, network=system.network, optimizer=system.optimizer,
        loss_function=nn.MSELoss(), train_handlers=handlers, accumulation_steps=accumulation_steps,
    ).run()
    return system.weights()


def by_hand(system, data, max_norm, accumulation_steps):
    for start in range(0, len(data), accumulation_steps):
        system.optimizer.zero_grad()
        for batch in data[start : start + accumulation_steps]:
            (F.mse_loss(system.network(batch["image"]), batch["label"]) / accumulation_steps).backward()
        nn.utils.clip_grad_norm_(system.network.parameters(), max_norm)
        system.optimizer.step()
    return system.weights()


@pytest.mark.parametrize("accumulation_steps", [1, 3])
@pytest.mark.parametrize("max_norm", [0.05, 1e9])
def test_equals_a_loop_by_hand(max_norm, accumulation_steps):
    data = batches(6)
    ours = train(System(), [ClipGradients(max_norm)], data, accumulation_steps)
    torch.testing.assert_close(ours, by_hand(System(), data, max_norm, accumulation_steps), rtol=0, atol=1e-12)
    unbounded = by_hand(System(), data, 1e9, accumulation_steps)
    assert ((ours - unbounded).abs().max() > 1e-5) == (max_norm < 1)


def test_bounds_what_gradprom_leaves():
    """The recognition gradient is let in first, and the sum is what is bounded."""
    system, norms = System(weight=100.0), []
    parameters = list(system.network.parameters())
    system.optimizer.register_step_post_hook(
        lambda *_: norms.append(float(nn.utils.get_total_norm([p.grad for p in parameters])))
    )
    gate = GradPromHandler(system.tasks[0], "joint", always_measure=True)
    train(system, [gate, ClipGradients(0.05)], batches(3))
    assert norms == pytest.approx([0.05] * 3, rel=1e-4)


@pytest.mark.parametrize("fused", [False, True])
def test_loss_scale_does_not_count(fused):
    weights, data = [], batches(3, dtype=torch.float32)
    for scaler in ([], [Scaler(init_scale=2.0**10)]):
        system = System(dtype=torch.float32)
        system.optimizer = torch.optim.SGD(system.network.parameters(), lr=RATE, fused=fused)
        weights.append(train(system, [*scaler, ClipGradients(0.05)], data))
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("max_norm", [0, -1.0, float("inf"), float("nan"), True, "1"])
def test_bound_that_is_none_is_refused(max_norm):
    with pytest.raises(InputError, match="max_norm: expected a finite number > 0, found"):
        ClipGradients(max_norm)
