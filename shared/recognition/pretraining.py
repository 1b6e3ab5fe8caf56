"""The training of a run's recognition networks before the cascade."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import DataLoader
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import Dataset, Sampler

from shared.data.samplers import training_loader
from shared.distributed import data_parallel, has_group, rank
from shared.errors import InputError
from shared.handlers import (
    EpochLog,
    EpochSeed,
    FiniteLoss,
    Progress,
    ResumableCheckpoint,
    TensorBoardCurves,
    WholeBatch,
)
from shared.losses.recognition import RecognitionLoss
from shared.recognition.ensemble import PrepareRecognitionBatch, RecognitionEnsemble

TITLE = "recognition"
"""Of the stage, in the log, in TensorBoard and in checkpoint.pt."""


class Pretraining:
    """Stage (a): recognition networks learn from training images and their labels, by one cycle of Adam.

    It is built when it is run, on the process group that there is by then: in a data-parallel run each process draws
    its share of the images, as its ``training_loader`` does, and the networks' gradients are averaged.

    Args:
        network: all recognition networks of the run.
        dataset: training data with the keys "image" and "label" [C, H, W] and the ground truth of the networks.
        batch_size: of each process.
        max_epochs: how often the networks see the images, or what the sampler draws of them.
        learning_rate: the largest of the cycle.
        device: where the networks are.
        seed: of the run.
        ckpt_dir: folder of ``checkpoint.pt``.
        output_dir: folder of ``history_recognition.csv`` and of the TensorBoard events.
        images: batch key of what the networks look at, "label" (clean) or "image" (degraded).
        shuffle: draw each image once an epoch, in random order; without it, in the order of the data set.
        sampler: what draws the images, in place of that.
        num_workers: processes that load images.
        amp: mixed precision.
        resume: whether to continue from ``checkpoint.pt``.
        ckpt_path: file to continue from.
        weights: what writes the weights of the run; it moves those of an earlier run aside.
        handlers: others for the trainer, behind its own.

    Attributes:
        network: as given.
        trainer: the stock trainer.

    Raises:
        InputError: when there is no network, or there are fewer images than a batch takes.
    """

    def __init__(
        self,
        network: RecognitionEnsemble,
        dataset: Dataset[Any],
        batch_size: int,
        max_epochs: int,
        learning_rate: float,
        device: torch.device,
        seed: int,
        ckpt_dir: str,
        output_dir: str,
        images: str = "label",
        shuffle: bool = True,
        sampler: Sampler[Any] | None = None,
        num_workers: int = 0,
        amp: bool = False,
        resume: bool | str = False,
        ckpt_path: str | None = None,
        weights: Any = None,
        handlers: Sequence[Any] = (),
    ) -> None:
        if not network.tasks:
            raise InputError("auxiliary: found 'none', expected a recognition network for this stage to train")
        self.network = network
        loader = _loader(
            dataset, seed, shuffle=shuffle and sampler is None, sampler=sampler, batch_size=batch_size, drop_last=True,
            num_workers=num_workers, pin_memory=device.type == "cuda",
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
        steps = max(1, max_epochs * len(loader))
        schedule: Any = OneCycleLR(optimizer, max_lr=learning_rate, total_steps=steps, cycle_momentum=False)
        log = EpochLog(str(Path(output_dir) / "history_recognition.csv"), TITLE)
        objects = {"network": network, "optimizer": optimizer, "lr_scheduler": schedule, "epoch_log": log}
        self.trainer = SupervisedTrainer(
            device=device,
            max_epochs=max_epochs,
            train_data_loader=loader,
            network=_parallel(network),
            optimizer=optimizer,
            loss_function=RecognitionLoss(),
            prepare_batch=PrepareRecognitionBatch(images),
            train_handlers=[
                EpochSeed(seed, dataset, stage=0),
                FiniteLoss(),
                WholeBatch(),
                LrScheduleHandler(schedule, print_lr=False, epoch_level=False),
                Progress(TITLE),
                log,
                *([TensorBoardCurves(str(Path(output_dir) / "tensorboard"), title=TITLE)] if rank() == 0 else []),
                ResumableCheckpoint(
                    ckpt_dir, TITLE, objects, resume=resume, ckpt_path=ckpt_path, weights=weights  # type: ignore[arg-type]
                ),
                *handlers,
            ],
            decollate=False,
            amp=amp,
        )

    def run(self) -> None:
        """Train the networks."""
        self.trainer.run()


def run_alone(pretraining: Pretraining | None) -> None:
    """Run the training of the recognition networks, in a run that has nothing else to train.

    Args:
        pretraining: None where a bundle has none, for data without labels.

    Raises:
        InputError: when there is none.
    """
    if pretraining is None:
        raise InputError("recognition alone: the data have no labels to learn from, expected masks or classes")
    pretraining.run()


def _loader(
    dataset: Dataset[Any], seed: int, shuffle: bool, sampler: Sampler[Any] | None, **arguments: Any
) -> DataLoader:
    if has_group():  # a group of one draws as one of two does
        return training_loader(dataset, seed, shuffle=shuffle, sampler=sampler, **arguments)
    return DataLoader(dataset, shuffle=shuffle, sampler=sampler, **arguments)


def _parallel(network: nn.Module) -> nn.Module:
    return data_parallel(network) if has_group() else network
