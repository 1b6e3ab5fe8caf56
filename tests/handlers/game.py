"""A tiny generator, discriminator and recognition task, and their training written the plainest way."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.engines import SupervisedTrainer
from torch import nn

from shared.handlers import AdversarialHandler
from shared.losses import LeastSquaresAdversarial, RelativisticAverage, VanillaAdversarial
from tests.handlers.reference import System

WEIGHT = 0.3
OPTIMIZERS = {
    "sgd": lambda network: torch.optim.SGD(network.parameters(), lr=0.05),
    "adam": lambda network: torch.optim.Adam(network.parameters(), lr=0.01),
}


class Relativistic:
    """Equations 9 and 10 of RIRGAN."""

    def discriminator(self, real, fake):
        return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()

    def generator(self, real, fake):
        return self.discriminator(fake, real)


class Vanilla:
    def discriminator(self, real, fake):
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def generator(self, real, fake):
        return F.softplus(-fake).mean()


class LeastSquares:
    def discriminator(self, real, fake):
        return (F.mse_loss(real, torch.ones_like(real)) + F.mse_loss(fake, torch.zeros_like(fake))) / 2

    def generator(self, real, fake):
        return F.mse_loss(fake, torch.ones_like(fake)) / 2


LOSSES = {
    "relativistic": (RelativisticAverage(), Relativistic()),
    "vanilla": (VanillaAdversarial(), Vanilla()),
    "least squares": (LeastSquaresAdversarial(), LeastSquares()),
}
"""Ours, and one by hand."""


def discriminator(dtype=torch.float64, norm=True) -> nn.Module:
    """Without the biases that its loss does not depend on: Adam would step along the rounding of their gradients."""
    torch.manual_seed(5)
    first, last = nn.Conv2d(1, 4, 3, bias=False), nn.Linear(4 * 6 * 5, 1, bias=False)
    norms = [nn.BatchNorm2d(4)] if norm else []
    return nn.Sequential(first, *norms, nn.LeakyReLU(0.2), nn.Flatten(), last).to(dtype)


class Game:
    """Generator, discriminator and one recognition task, all of them fresh and the same every time."""

    def __init__(self, optimizer="sgd", dtype=torch.float64, loss=None, norm=True, **kwargs):
        make = OPTIMIZERS[optimizer]
        self.system = System(dtype=dtype)
        self.generator, self.discriminator = self.system.network, discriminator(dtype, norm)
        self.optimizers = [make(self.generator), make(self.discriminator)]
        self.task = self.system.tasks[0]
        self.task.optimizer = make(self.task.network)
        loss = RelativisticAverage() if loss is None else loss
        self.adversarial = AdversarialHandler(self.discriminator, self.optimizers[1], loss, WEIGHT, **kwargs)

    def train(self, data, handlers, accumulation_steps=1, epochs=1, network=None):
        trainer = SupervisedTrainer(
            device="cpu", max_epochs=epochs, train_data_loader=data, network=network or self.generator,
            optimizer=self.optimizers[0], loss_function=nn.MSELoss(), decollate=False,
            train_handlers=handlers, accumulation_steps=accumulation_steps,
        )
        trainer.run()
        return trainer

    def weights(self):
        networks = [self.generator, self.discriminator, self.task.network]
        return torch.cat([v.detach().reshape(-1).double() for n in networks for v in n.state_dict().values()])


def by_hand(game: Game, data, strategy="none", accumulation_steps=1, loss=None) -> list[dict[str, float]]:
    """The generator's gradient first, the discriminator's on the same forward pass, then all step.

    Returns what each step should publish.
    """
    loss = Relativistic() if loss is None else loss
    theta, phi = list(game.generator.parameters()), list(game.discriminator.parameters())
    psi = list(game.task.network.parameters())
    published = []
    for start in range(0, len(data), accumulation_steps):
        totals = [[torch.zeros_like(p) for p in group] for group in (theta, phi, psi, theta)]
        seen, at = [], [[], []]
        for batch in data[start : start + accumulation_steps]:
            prediction = game.generator(batch["image"])
            real, fake = game.discriminator(batch["label"]), game.discriminator(prediction)
            pixel, adversarial = F.mse_loss(prediction, batch["label"]), loss.generator(real, fake)
            recognition = F.cross_entropy(game.task.network(prediction), batch["class"])
            pairs = [
                (pixel + WEIGHT * adversarial, theta), (loss.discriminator(real, fake), phi), (recognition, psi),
                (recognition, theta),
            ]
            for total, (value, group) in zip(totals, pairs, strict=True):
                for sum_, g in zip(total, torch.autograd.grad(value, group, retain_graph=True), strict=True):
                    sum_ += g / accumulation_steps
            for found, value in zip(at, (WEIGHT * adversarial, pixel), strict=True):
                found.append(torch.autograd.grad(value, prediction, retain_graph=True)[0].flatten())
            seen.append([real.mean(), fake.mean(), adversarial, loss.discriminator(real, fake)])
        means = torch.tensor(seen, dtype=torch.float64).mean(0).tolist()
        published.append(dict(zip(("real", "fake", "generator", "loss"), means, strict=True)))
        published[-1]["gradient_ratio"] = float(torch.cat(at[0]).norm() / torch.cat(at[1]).norm())
        main, auxiliary = (torch.cat([g.reshape(-1) for g in totals[k]]) for k in (0, 3))
        let_in = {"none": False, "joint": True, "gradprom": bool(main @ auxiliary >= 0)}[strategy]
        for k, group in enumerate((theta, phi, psi)):
            for p, g, other in zip(group, totals[k], totals[3] if k == 0 else totals[k], strict=True):
                p.grad = g + other if k == 0 and let_in else g
        for optimizer in [*game.optimizers, *([] if strategy == "none" else [game.task.optimizer])]:
            optimizer.step()
    return published
