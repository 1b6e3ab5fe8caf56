"""A step that a flag on the device decides, against one that ``if`` decides: bit for bit."""

import copy
import math

import pytest
import torch
from torch import nn

from shared.handlers import conditional_step
from shared.handlers.conditional_step import ConditionalStep

OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    "adam": (torch.optim.Adam, {"lr": 0.1}),
    "adam foreach": (torch.optim.Adam, {"lr": 0.1, "foreach": True}),
    "adam fused": (torch.optim.Adam, {"lr": 0.1, "fused": True}),
    "momentum fused": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "fused": True}),
    "adamw amsgrad": (torch.optim.AdamW, {"lr": 0.1, "amsgrad": True}),
    "nadam": (torch.optim.NAdam, {"lr": 0.1}),
    "radam": (torch.optim.RAdam, {"lr": 0.1}),
    "adamax": (torch.optim.Adamax, {"lr": 0.1}),
    "adadelta": (torch.optim.Adadelta, {"lr": 0.1}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.1}),
    "asgd": (torch.optim.ASGD, {"lr": 0.1}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.1, "momentum": 0.9, "centered": True}),
    "rprop": (torch.optim.Rprop, {"lr": 0.1}),
}
FLAGS = [False, True, False, True, True, False, False, True, False]


class Plain(torch.optim.Optimizer):
    """An optimizer that is not PyTorch's."""

    def __init__(self, params):
        super().__init__(params, {})
        self.steps = 0

    def step(self, closure=None):
        self.steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                p.data -= p.grad / self.steps


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def train(model, optimizer, step) -> list[dict]:
    generator = torch.Generator().manual_seed(1)
    states = []
    for flag in FLAGS:
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=generator, dtype=p.dtype) * (1.0 if flag else math.nan)
        step(flag)
        states.append(copy.deepcopy(optimizer.state_dict()["state"]))
        states.append({k: v.clone() for k, v in model.state_dict().items()})
    return states


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.fixture(params=["cpu", "device", "device, steps counted elsewhere"])
def place(request, monkeypatch):
    """On a GPU flags cannot be looked at; steps may be counted in main memory."""
    if request.param != "cpu":
        monkeypatch.setattr(conditional_step, "_is_at_hand", lambda flag: False)
    if "elsewhere" in request.param:
        monkeypatch.setattr(conditional_step, "_is_elsewhere", lambda tensor, flag: tensor.ndim == 0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_a_step_that_is_left_out(place, name):
    kind, arguments = OPTIMIZERS[name]
    ours, theirs = network(), network()
    a, b = kind(ours.parameters(), **arguments), kind(theirs.parameters(), **arguments)
    conditional = ConditionalStep(a)
    found = train(ours, a, lambda flag: conditional(torch.tensor(flag)))
    expected = train(theirs, b, lambda flag: b.step() if flag else None)
    for x, y in zip(found, expected, strict=True):
        assert_same(x, y)


def test_optimizer_of_somebody_else_is_not_called_where_it_may_not_step(place):
    model = network()
    optimizer = Plain(model.parameters())
    conditional = ConditionalStep(optimizer)
    train(model, optimizer, lambda flag: conditional(torch.tensor(flag)))
    assert optimizer.steps == sum(FLAGS)
    assert all(p.isfinite().all() for p in model.parameters())
