"""What networks beside the main one share, by a second kind of them: a discriminator, against a loop by hand."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn

from shared.handlers import Companion, CompanionHandler, GradPromHandler, conditional_step, published
from shared.handlers.companion import add_to_loss, finite_or_zero
from shared.handlers.published import Publisher
from shared.handlers.statistics import StepStatistics
from tests.handlers.reference import System, batches
from tests.handlers.test_gradprom import Scaler

WEIGHT = 0.3


def discriminator_loss(real, fake):
    """Relativistic average, equation 9 of RIRGAN."""
    return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()


def generator_loss(real, fake):
    return discriminator_loss(fake, real)


class Adversarial(CompanionHandler):
    """A discriminator, run once on the real and once on the predicted batch."""

    def __init__(self, discriminator, optimizer, name="adversarial", loss=discriminator_loss):
        super().__init__(
            {"D": Companion(discriminator, optimizer, own_scaler=True)},
            StepStatistics(["D"], ("real", "fake")),
            Publisher(name),
        )
        self.loss = loss

    def collect(self, engine, prediction):
        companion = self.companions["D"]
        fake = prediction.detach().requires_grad_(True)
        real, predicted = companion.network(engine.state.output["label"]), companion.network(fake)
        at, _ = finite_or_zero(companion.gradient(generator_loss(real, predicted), fake, retain_graph=True))
        companion.learn(self.loss(real, predicted))
        add_to_loss(engine, prediction, at, WEIGHT)
        self.means = {"real": real.detach().mean(), "fake": predicted.detach().mean()}

    def combine(self, engine, optimizer, finite):
        return {"D": self.means}


def discriminator(dtype=torch.float64) -> nn.Module:
    """Without the biases that its loss does not depend on: Adam would step along the rounding of their gradients."""
    torch.manual_seed(5)
    first, last = nn.Conv2d(1, 4, 3, bias=False), nn.Linear(4 * 6 * 5, 1, bias=False)
    return nn.Sequential(first, nn.BatchNorm2d(4), nn.LeakyReLU(0.2), nn.Flatten(), last).to(dtype)


OPTIMIZERS = {
    "sgd": lambda network: torch.optim.SGD(network.parameters(), lr=0.05),
    "adam": lambda network: torch.optim.Adam(network.parameters(), lr=0.01),
}


class Game:
    """Generator, discriminator and one recognition task, all of them fresh and the same every time."""

    def __init__(self, optimizer="sgd", dtype=torch.float64, loss=discriminator_loss):
        make = OPTIMIZERS[optimizer]
        self.system = System(dtype=dtype)
        self.generator, self.discriminator = self.system.network, discriminator(dtype)
        self.optimizers = [make(self.generator), make(self.discriminator)]
        self.task = self.system.tasks[0]
        self.task.optimizer = make(self.task.network)
        self.adversarial = Adversarial(self.discriminator, self.optimizers[1], loss=loss)

    def train(self, data, handlers, accumulation_steps=1, epochs=1):
        trainer = SupervisedTrainer(
            device="cpu", max_epochs=epochs, train_data_loader=data, network=self.generator,
            optimizer=self.optimizers[0], loss_function=nn.MSELoss(), decollate=False,
            train_handlers=handlers, accumulation_steps=accumulation_steps,
        )
        trainer.run()
        return trainer

    def weights(self):
        networks = [self.generator, self.discriminator, self.task.network]
        return torch.cat([v.detach().reshape(-1).double() for n in networks for v in n.state_dict().values()])


def by_hand(game: Game, data, strategy, accumulation_steps):
    """The generator's gradient first, the discriminator's on the same forward pass, then all step."""
    theta, phi = list(game.generator.parameters()), list(game.discriminator.parameters())
    psi = list(game.task.network.parameters())
    for start in range(0, len(data), accumulation_steps):
        totals = [[torch.zeros_like(p) for p in group] for group in (theta, phi, psi, theta)]
        for batch in data[start : start + accumulation_steps]:
            prediction = game.generator(batch["image"])
            real, fake = game.discriminator(batch["label"]), game.discriminator(prediction)
            enhancement = F.mse_loss(prediction, batch["label"]) + WEIGHT * generator_loss(real, fake)
            recognition = F.cross_entropy(game.task.network(prediction), batch["class"])
            pairs = [(enhancement, theta), (discriminator_loss(real, fake), phi), (recognition, psi)]
            for total, (loss, group) in zip(totals, [*pairs, (recognition, theta)], strict=True):
                for sum_, g in zip(total, torch.autograd.grad(loss, group, retain_graph=True), strict=True):
                    sum_ += g / accumulation_steps
        main, auxiliary = (torch.cat([g.reshape(-1) for g in totals[k]]) for k in (0, 3))
        let_in = {"none": False, "joint": True, "gradprom": bool(main @ auxiliary >= 0)}[strategy]
        for k, group in enumerate((theta, phi, psi)):
            for p, g, other in zip(group, totals[k], totals[3] if k == 0 else totals[k], strict=True):
                p.grad = g + other if k == 0 and let_in else g
        for optimizer in [*game.optimizers, *([] if strategy == "none" else [game.task.optimizer])]:
            optimizer.step()


@pytest.mark.parametrize("accumulation_steps", [1, 2, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("strategy", "order"), [
    ("none", 0), ("gradprom", 1), ("gradprom", -1), ("joint", 1), ("joint", -1),
])
def test_equals_a_loop_by_hand(strategy, order, optimizer, accumulation_steps):
    """Eight batches, so that a window of three ends with the epoch; GradProm before and after the discriminator."""
    data = batches(8)
    ours, theirs = Game(optimizer), Game(optimizer)
    handlers = [ours.adversarial, *([] if strategy == "none" else [GradPromHandler(ours.task, strategy)])]
    ours.train(data, handlers[::order or 1], accumulation_steps)
    by_hand(theirs, data, strategy, accumulation_steps)
    torch.testing.assert_close(ours.weights(), theirs.weights(), rtol=0, atol=1e-12)


def test_loop_by_hand_would_notice_another_game():
    data, found = batches(8), []
    for strategy in ("none", "gradprom", "joint"):
        game = Game()
        by_hand(game, data, strategy, 1)
        found.append(game.weights())
    assert all((a - b).abs().max() > 1e-6 for k, a in enumerate(found) for b in found[:k])


def test_both_publish_and_none_shadows_the_other():
    game = Game()
    gate = GradPromHandler(game.task)
    trainer = game.train(batches(4), [game.adversarial, gate])
    assert trainer.state.adversarial["D"].keys() == {"real", "fake"}
    assert trainer.state.gradprom["class"].keys() == {"cosine", "accepted", "norm_ratio", "loss"}
    assert trainer.state.adversarial_epoch["D"].keys() == {"real", "fake", "skipped"}
    assert game.adversarial.statistics.totals == {"D": {"steps": 4, "skipped": 0}}
    with pytest.raises(ValueError, match="expected one that no other handler of this trainer has, found 'gradprom'"):
        game.train(batches(1), [gate, Adversarial(game.discriminator, game.optimizers[1], name="gradprom")])


class Overflow:
    """A discriminator's loss whose gradient is infinite at some of its calls."""

    def __init__(self, at):
        self.at, self.count = at, 0

    def __call__(self, real, fake):
        loss = discriminator_loss(real, fake)
        self.count += 1
        return loss * math.inf if self.count in self.at else loss


class Snapshots:
    def __init__(self, game):
        self.game, self.found, self.scales = game, [], []

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine):
        self.found.append([copy.deepcopy(n.state_dict()) for n in (self.game.generator, self.game.discriminator)])
        self.scales.append([engine.scaler.get_scale(), self.game.adversarial.companions["D"].scaler.get_scale()])

    def moved(self, step):
        names = {"generator": (0, "0.weight"), "discriminator": (1, "0.weight")}
        return {n for n, (k, key) in names.items() if not self.found[step][k][key].equal(self.found[step - 1][k][key])}


@pytest.mark.parametrize("at_hand", [True, False])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_overflow_of_the_companion_skips_it_alone(monkeypatch, optimizer, at_hand):
    monkeypatch.setattr(conditional_step, "_is_at_hand", lambda flag: at_hand)
    game = Game(optimizer, torch.float32, Overflow({3}))
    snapshots = Snapshots(game)
    game.train(batches(4, dtype=torch.float32), [Scaler(init_scale=2.0**8), game.adversarial, snapshots])
    assert [snapshots.moved(k) for k in (1, 2, 3)] == [
        {"generator", "discriminator"}, {"generator"}, {"generator", "discriminator"},
    ]
    assert snapshots.scales == [[256, 2**16], [256, 2**16], [256, 2**15], [256, 2**15]]
    assert game.adversarial.statistics.totals == {"D": {"steps": 4, "skipped": 1}}


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
    assert game.adversarial.statistics.totals["D"]["steps"] == 3


def test_scale_of_its_own_goes_into_the_state():
    game, again = Game(dtype=torch.float32, loss=Overflow({1, 2})), Game(dtype=torch.float32)
    game.train(batches(2, dtype=torch.float32), [Scaler(), game.adversarial])
    again.adversarial.load_state_dict(copy.deepcopy(game.adversarial.state_dict()))
    again.train(batches(1, dtype=torch.float32), [Scaler(), again.adversarial])
    assert again.adversarial.companions["D"].scaler.get_scale() == 2.0**14
    assert again.adversarial.statistics.totals == {"D": {"steps": 3, "skipped": 2}}


class Twice(nn.Module):
    """Two parameters whose gradients autograd returns as one tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(2, 1, 8, 7)), nn.Parameter(torch.zeros(2, 1, 8, 7))

    def forward(self, image):
        return (image + self.a + self.b).square().flatten(1).mean(1, keepdim=True)


def test_scale_is_taken_off_each_gradient_once():
    network = Twice()
    (x, y) = torch.autograd.grad(network(torch.ones(2, 1, 8, 7)).sum(), [network.a, network.b])
    assert x.data_ptr() == y.data_ptr()
    steps = []
    for scaler in ([], [Scaler()]):
        network = Twice()
        game = Game(dtype=torch.float32)
        game.adversarial = Adversarial(
            network, torch.optim.SGD(network.parameters(), lr=0.1), loss=lambda real, fake: fake.mean()
        )
        game.train(batches(1, dtype=torch.float32), [*scaler, game.adversarial])
        steps.append(network.b.detach())
    assert steps[0].abs().max() > 1e-4
    torch.testing.assert_close(steps[1], steps[0], rtol=1e-4, atol=0)


def test_state_of_another_companion_is_refused():
    game = Game(dtype=torch.float32)
    state = game.adversarial.state_dict()
    state["statistics"]["totals"]["E"] = state["statistics"]["totals"].pop("D")
    with pytest.raises(KeyError, match="'D'"):
        game.adversarial.load_state_dict({**state, "scalers": {"D": {}}})


@pytest.mark.parametrize("every", [2, 50])
def test_graphs_of_what_is_published_are_let_go_and_long_epochs_are_read_in_parts(monkeypatch, every):
    """The means come with their graphs here."""
    monkeypatch.setattr(published, "READ_EVERY", every)
    waiting = []

    class WithGraph(Adversarial):
        def collect(self, engine, prediction):
            super().collect(engine, prediction)
            self.means = {name: self.companions["D"].network(prediction).mean() for name in self.means}

    class Look:
        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_COMPLETED, self)

        def __call__(self, engine):
            assert not engine.state.adversarial["D"]["real"].requires_grad
            rows = gate.statistics._unread
            assert not any(v.requires_grad for _, row in rows for v in row if isinstance(v, torch.Tensor))
            waiting.append(len(rows))

    game = Game(dtype=torch.float32)
    gate = WithGraph(game.discriminator, game.optimizers[1])
    game.train(batches(5, dtype=torch.float32), [gate, Look()])
    assert waiting == ([1, 0, 1, 0, 0] if every == 2 else [1, 2, 3, 4, 0])
    assert gate.statistics.totals["D"]["steps"] == 5
