"""A training step of RIRGAN: the stock trainer with AdversarialHandler, and the same by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from monai.engines import SupervisedTrainer
from torch import Tensor

from shared.benchmark.settings import Settings
from shared.benchmark.trainer import ENDLESS
from shared.handlers import AdversarialHandler, WholeBatch
from shared.losses import PixelLoss, RelativisticAverage
from shared.networks import RIRGenerator, SRGANDiscriminator

SCALE = 4
WEIGHT = 5e-4
LEARNING_RATE = 1e-4
BETAS = (0.5, 0.999)
UNITS_PER_BLOCK = 2
"""Blocks of SRResNet, a residual unit each, for one block of RIR-G, so that ``Settings.num_blocks`` serves both."""


class Game:
    """Generator G and discriminator D, each with Adam; the same weights whenever it is made."""

    def __init__(self, settings: Settings) -> None:
        blocks = max(1, settings.num_blocks // UNITS_PER_BLOCK)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            generator = RIRGenerator(num_blocks=blocks, features=settings.features, upscale_factor=SCALE)
            discriminator = SRGANDiscriminator()
        # As the bundles have it.
        self.generator = generator.to(settings.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.discriminator = discriminator.to(settings.device).train()
        self.optimizer = torch.optim.Adam(self.generator.parameters(), LEARNING_RATE, BETAS)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), LEARNING_RATE, BETAS)
        self.pixel_loss = PixelLoss()
        self.adversarial_loss = RelativisticAverage()


def pairs(settings: Settings, count: int = 2) -> Iterator[dict[str, Tensor]]:
    """Return batches of small and clean images that lie on the device already, over and over."""
    generator = torch.Generator().manual_seed(0)
    size, small = settings.image_size, settings.image_size // SCALE
    batches = [
        {
            key: torch.rand((settings.batch_size, 3, side, side), generator=generator).to(settings.device)
            for key, side in (("image", small), ("label", size))
        }
        for _ in range(count)
    ]
    return itertools.cycle(batches)


def adversarial_trainer(game: Game, settings: Settings) -> SupervisedTrainer:
    """Return MONAI's trainer with the handler that lets D play, and nothing else."""
    handler = AdversarialHandler(game.discriminator, game.discriminator_optimizer, game.adversarial_loss, WEIGHT)
    return SupervisedTrainer(
        device=settings.device,
        max_epochs=1,
        epoch_length=ENDLESS,
        train_data_loader=pairs(settings),
        network=game.generator,
        optimizer=game.optimizer,
        loss_function=game.pixel_loss,
        train_handlers=[handler, WholeBatch()],
        decollate=False,
    )


class AdversarialLoop:
    """The same step by hand: two passes of D, both gradients from one forward pass, then both networks step.

    Attributes:
        losses: of G, its adversarial part, and D in the last step, which every training loop reads to show them.
    """

    def __init__(self, game: Game, batches: Iterator[dict[str, Tensor]]) -> None:
        self.game = game
        self.batches = batches
        self.losses = (0.0, 0.0, 0.0)

    def __call__(self) -> None:
        """Train on the next batch."""
        game, batch = self.game, next(self.batches)
        game.optimizer.zero_grad(set_to_none=True)
        prediction = game.generator(batch["image"])
        pixel = game.pixel_loss(prediction, batch["label"])
        fake = prediction.detach().requires_grad_(True)
        real_logits, fake_logits = game.discriminator(batch["label"]), game.discriminator(fake)
        generator_loss = game.adversarial_loss.generator(real_logits, fake_logits)
        loss = game.adversarial_loss.discriminator(real_logits, fake_logits)
        (at_fake,) = torch.autograd.grad(generator_loss, [fake], retain_graph=True)
        game.discriminator_optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=list(game.discriminator.parameters()))
        torch.autograd.backward([pixel, prediction], [torch.ones_like(pixel), WEIGHT * at_fake])
        game.optimizer.step()
        game.discriminator_optimizer.step()
        self.losses = (pixel.item(), generator_loss.item(), loss.item())
