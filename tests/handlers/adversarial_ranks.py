"""One of two processes that play the game, each with half of every batch.

``torchrun ... -m tests.handlers.adversarial_ranks FOLDER``; there each rank leaves the weights and what was published.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from ignite.engine import Events
from torch.nn.parallel import DistributedDataParallel

from shared import distributed
from tests.handlers.game import Game, Relativistic
from tests.handlers.reference import batches


class Recorder:
    """Numbers that are published after each iteration; those of the step before, until the next one."""

    def __init__(self):
        self.found = []

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine):
        values = engine.state.adversarial.get("adversarial", {})
        self.found.append({name: float(value) for name, value in values.items()})


def play(data, loss=None, parallel=False):
    """Batches of no particular size, two to a step; without batch norm, which sees the images of one rank alone."""
    game, recorder = Game(norm=False, loss=loss), Recorder()
    network = DistributedDataParallel(game.generator) if parallel else None
    game.train(data, [game.adversarial, recorder], accumulation_steps=2, network=network)
    return {"weights": game.weights(), "published": recorder.found}


def half(batch, rank):
    return {key: value[2 * rank : 2 * rank + 2] for key, value in batch.items()}


def main(folder: str) -> None:
    dist.init_process_group("gloo")
    rank = distributed.rank()
    data = [half(batch, rank) for batch in batches(6, size=4)]
    found = {"global": play(data, parallel=True), "local": play(data, Relativistic(), parallel=True)}
    torch.save(found, Path(folder) / f"rank{rank}.pt")
    distributed.leave()


if __name__ == "__main__":
    main(sys.argv[1])
