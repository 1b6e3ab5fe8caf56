"""What networks beside the main one share: scales, skipped steps, state, publishing; shown with a discriminator."""

import copy
import math

import pytest
import torch
from ignite.engine import Events
from torch import nn

from shared.handlers import AdversarialHandler, conditional_step, published
from shared.losses import RelativisticAverage
from tests.handlers.game import OPTIMIZERS, Game
from tests.handlers.reference import batches
from tests.handlers.test_gradprom import Scaler


class Overflow(RelativisticAverage):
    """A discriminator's loss whose gradient is infinite at some of its calls."""

    def __init__(self, at):
        self.at, self.count = at, 0

    def discriminator(self, real, fake):
        self.count += 1
        return super().discriminator(real, fake) * (math.inf if self.count in self.at else 1.0)


class Snapshots:
    def __init__(self, game):
        self.game, self.found, self.scales = game, [], []

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine):
        self.found.append([copy.deepcopy(n.state_dict()) for n in (self.game.generator, self.game.discriminator)])
        self.scales.append([engine.scaler.get_scale(), self.game.adversarial.companion.scaler.get_scale()])

    def moved(self, step):
        names = {"generator": (0, "0.weight"), "discriminator": (1, "0.weight")}
        return {n for n, (k, key) in names.items() if not self.found[step][k][key].equal(self.found[step - 1][k][key])}


@pytest.mark.parametrize("at_hand", [True, False])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_overflow_of_the_companion_skips_it_alone(monkeypatch, optimizer, at_hand):
    monkeypatch.setattr(conditional_step, "_is_at_hand", lambda flag: at_hand)
    game = Game(optimizer, torch.float32, loss=Overflow({3}))
    snapshots = Snapshots(game)
    game.train(batches(4, dtype=torch.float32), [Scaler(init_scale=2.0**8), game.adversarial, snapshots])
    assert [snapshots.moved(k) for k in (1, 2, 3)] == [
        {"generator", "discriminator"}, {"generator"}, {"generator", "discriminator"},
    ]
    assert snapshots.scales == [[256, 2**16], [256, 2**16], [256, 2**15], [256, 2**15]]
    assert game.adversarial.statistics.totals == {"adversarial": {"steps": 4, "skipped": 1}}


@pytest.mark.parametrize("fused", [False, True])
def test_overflow_of_the_main_network_skips_both(fused):
    game = Game(dtype=torch.float32)
    game.optimizers[0] = torch.optim.SGD(game.generator.parameters(), lr=0.05, fused=fused)
    snapshots = Snapshots(game)
    data = batches(4, dtype=torch.float32)
    data[2]["label"] = data[2]["label"] * 1e12
    game.train(data, [Scaler(init_scale=2.0**100), game.adversarial, snapshots])
    assert [snapshots.moved(k) for k in (1, 2, 3)] == [
        {"generator", "discriminator"}, set(), {"generator", "discriminator"},
    ]
    assert snapshots.scales[2][0] == 2.0**99
    assert game.adversarial.statistics.totals["adversarial"]["steps"] == 3


def test_scale_of_its_own_goes_into_the_state():
    game, again = Game(dtype=torch.float32, loss=Overflow({1, 2})), Game(dtype=torch.float32)
    game.train(batches(2, dtype=torch.float32), [Scaler(), game.adversarial])
    again.adversarial.load_state_dict(copy.deepcopy(game.adversarial.state_dict()))
    again.train(batches(1, dtype=torch.float32), [Scaler(), again.adversarial])
    assert again.adversarial.companion.scaler.get_scale() == 2.0**14
    assert again.adversarial.statistics.totals == {"adversarial": {"steps": 3, "skipped": 2}}


class Twice(nn.Module):
    """Two parameters whose gradients autograd returns as one tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(2, 1, 8, 7)), nn.Parameter(torch.zeros(2, 1, 8, 7))

    def forward(self, image):
        return (image + self.a + self.b).square().flatten(1).mean(1, keepdim=True)


class FakeAlone(RelativisticAverage):
    def discriminator(self, real, fake):
        return fake.mean()


def test_scale_is_taken_off_each_gradient_once():
    network = Twice()
    (x, y) = torch.autograd.grad(network(torch.ones(2, 1, 8, 7)).sum(), [network.a, network.b])
    assert x.data_ptr() == y.data_ptr()
    steps = []
    for scaler in ([], [Scaler()]):
        network = Twice()
        game = Game(dtype=torch.float32)
        handler = AdversarialHandler(network, torch.optim.SGD(network.parameters(), lr=0.1), FakeAlone(), 1.0)
        game.train(batches(1, dtype=torch.float32), [*scaler, handler])
        steps.append(network.b.detach())
    assert steps[0].abs().max() > 1e-4
    torch.testing.assert_close(steps[1], steps[0], rtol=1e-4, atol=0)


def test_state_of_another_companion_is_refused():
    game = Game(dtype=torch.float32)
    game.train(batches(1, dtype=torch.float32), [game.adversarial])
    state = game.adversarial.state_dict()
    state["statistics"]["totals"]["critic"] = state["statistics"]["totals"].pop("adversarial")
    with pytest.raises(KeyError, match="'adversarial'"):
        game.adversarial.load_state_dict(state)


@pytest.mark.parametrize("every", [2, 50])
def test_graphs_of_what_is_published_are_let_go_and_long_epochs_are_read_in_parts(monkeypatch, every):
    """One value comes with its graph here."""
    monkeypatch.setattr(published, "READ_EVERY", every)
    waiting = []

    class WithGraph(AdversarialHandler):
        def combine(self, engine, optimizer, finite):
            values = super().combine(engine, optimizer, finite)[self.name]
            return {self.name: {**values, "real": self.discriminator(engine.state.output["label"]).mean()}}

    class Look:
        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_COMPLETED, self)

        def __call__(self, engine):
            assert not engine.state.adversarial["adversarial"]["real"].requires_grad
            rows = handler.statistics._unread
            assert not any(v.requires_grad for _, row in rows for v in row if isinstance(v, torch.Tensor))
            waiting.append(len(rows))

    game = Game(dtype=torch.float32)
    handler = WithGraph(game.discriminator, game.optimizers[1], RelativisticAverage(), 1.0)
    game.train(batches(5, dtype=torch.float32), [handler, Look()])
    assert waiting == ([1, 0, 1, 0, 0] if every == 2 else [1, 2, 3, 4, 0])
    assert handler.statistics.totals["adversarial"]["steps"] == 5
