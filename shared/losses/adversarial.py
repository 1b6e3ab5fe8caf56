"""What a discriminator and a generator learn by from the discriminator's logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from shared.distributed import average


class AdversarialLoss(ABC):
    """Base of losses of two players, computed from the discriminator's logits C for a real and a fake batch.

    Logits are [B, 1], or [B, 1, H, W] where the discriminator judges patches; those of the fake batch may differ from
    the others in B, H and W. Means run over all of a batch's logits. Half precision is computed in single precision.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss, a scalar.

        Raises:
            ValueError: when the logits have another shape.
        """
        return self._discriminator(_logits("real", real), _logits("fake", fake))

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the generator's loss, a scalar, for the same logits.

        Raises:
            ValueError: when the logits have another shape.
        """
        return self._generator(_logits("real", real), _logits("fake", fake))

    @abstractmethod
    def _discriminator(self, real: Tensor, fake: Tensor) -> Tensor: ...

    @abstractmethod
    def _generator(self, real: Tensor, fake: Tensor) -> Tensor: ...


class RelativisticAverage(AdversarialLoss):
    """How much more real the real images look than the fake ones do on average, and the reverse (RIRGAN, section 3.3).

    With D(a, b) = sigmoid(C(a) - mean C(b)):

    - equation 9: L_D = -mean log D(real, fake) - mean log(1 - D(fake, real))
    - equation 10: L_G = -mean log(1 - D(real, fake)) - mean log D(fake, real)

    Both are sums of two means, without a factor 1/2. They are computed from logits, since log D of the probability
    form is infinite for logits that differ by some hundreds. With a single logit for each batch the two means of a
    loss coincide: L_D = 2 softplus(C(fake) - C(real)).

    *Data-parallel training.* C is averaged over the batches of all ranks, with its gradient, so that gradients which
    are averaged over ranks afterwards are those of one process with the joined batch. Every rank must call each loss
    and its backward pass equally often, with equally many logits.

    *Gradient accumulation.* C is averaged over a micro-batch, not over the window.
    """

    def _discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return _relativistic(real, fake)

    def _generator(self, real: Tensor, fake: Tensor) -> Tensor:
        # Equation 10 is equation 9 with the parts exchanged, as 1 - sigmoid(x) = sigmoid(-x).
        return _relativistic(fake, real)


class VanillaAdversarial(AdversarialLoss):
    """Is an image real? Cross-entropy, with the generator's loss that does not saturate (SRGAN, equation 6, as a mean).

    L_D = -mean log sigmoid(C(real)) - mean log(1 - sigmoid(C(fake))), L_G = -mean log sigmoid(C(fake)).
    """

    def _discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()

    def _generator(self, real: Tensor, fake: Tensor) -> Tensor:
        return -F.logsigmoid(fake).mean()


class LeastSquaresAdversarial(AdversarialLoss):
    """Squared distance of the logits from 1 for real and 0 for fake images (LSGAN, equation 9, with its halves).

    L_D = mean (C(real) - 1)² / 2 + mean C(fake)² / 2, L_G = mean (C(fake) - 1)² / 2.
    """

    def _discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()

    def _generator(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (fake - 1).square().mean()


class _AverageOverRanks(torch.autograd.Function):
    """Mean m of each rank's own value, whose gradient is averaged over ranks too.

    Why this is right, for R ranks with equally many logits. The loss of the joined batch is L = 1/R Σ l_r, where rank r
    returns l_r, its own mean of terms that hold m. Gradients are averaged over ranks later, by DistributedDataParallel
    or :func:`shared.distributed.average`; so with respect to what it holds, each rank needs that of Σ l_r = R L. Of its
    logits' own terms it has it. Through its value x_s, as m = 1/R Σ x_s, it is d(Σ l_r)/dx_s = 1/R Σ dl_r/dm: the mean
    of what arrives on the ranks.

    ``torch.distributed.nn.functional.all_reduce`` would do the same, but is deprecated.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _averaged(values)

    @staticmethod
    @once_differentiable  # a second derivative would be that of a single rank
    def backward(ctx: Any, gradients: Tensor) -> Tensor:
        return _averaged(gradients)


def _relativistic(higher: Tensor, lower: Tensor) -> Tensor:
    """Return the loss of logits that should lie above the mean of others, and of these below the mean of those."""
    means = _AverageOverRanks.apply(torch.stack([higher.mean(), lower.mean()]))
    return -F.logsigmoid(higher - means[1]).mean() - F.logsigmoid(means[0] - lower).mean()


def _averaged(values: Tensor) -> Tensor:
    values = values.clone()
    average([values])
    return values


def _logits(name: str, logits: Tensor) -> Tensor:
    if logits.ndim not in (2, 4) or logits.shape[1] != 1:
        raise ValueError(f"{name}: expected logits [B, 1] or [B, 1, H, W], found {list(logits.shape)}")
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
