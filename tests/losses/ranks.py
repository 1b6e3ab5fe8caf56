"""One of two processes that share a batch: ``torchrun ... -m tests.losses.ranks FOLDER``."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from shared import distributed
from shared.losses import RelativisticAverage


class LocalMeans:
    """The relativistic loss with the means of this rank alone, to see that they are not enough."""

    def discriminator(self, real, fake):
        return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()

    def generator(self, real, fake):
        return self.discriminator(fake, real)


def data() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(4)
    real, fake = (torch.randn(4, 6, generator=random, dtype=torch.float64) for _ in range(2))
    return 3 * real, 2 * fake + 1


def gradients(loss, real: torch.Tensor, fake: torch.Tensor) -> dict[str, torch.Tensor]:
    """At a discriminator's parameters by player, averaged over ranks; and the generator's at this rank's fakes."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1, bias=False)).double()
    found = {}
    for player in ("discriminator", "generator"):
        fake = fake.detach().requires_grad_()
        value = getattr(loss, player)(network(real), network(fake))
        *at_parameters, at_fake = torch.autograd.grad(value, [*network.parameters(), fake])
        distributed.average(at_parameters)
        found |= {player: torch.cat([g.flatten() for g in at_parameters]), "at fake": at_fake}
    return found


def main(folder: str) -> None:
    dist.init_process_group("gloo")
    rank = distributed.rank()
    real, fake = (half[2 * rank : 2 * rank + 2] for half in data())
    found = {"global": gradients(RelativisticAverage(), real, fake), "local": gradients(LocalMeans(), real, fake)}
    torch.save(found, Path(folder) / f"rank{rank}.pt")
    distributed.leave()


if __name__ == "__main__":
    main(sys.argv[1])
