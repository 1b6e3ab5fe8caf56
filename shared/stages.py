"""Wiring of the recognition networks: which of them a run uses, and their training before the cascade."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.engines.utils import PrepareBatch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from shared.errors import InputError
from shared.networks import enlarge_to, load_imagenet_resnet
from shared.recognition import RecognitionTask

LABEL_KEYS = {"diagnosis": "class", "segmentation": "mask"}
"""Kinds of recognition, and the batch key of their ground truth."""


def auxiliaries(auxiliary: str) -> list[str]:
    """Return the kinds of recognition behind the key ``auxiliary``, for example "both".

    Raises:
        InputError: when the value is unknown.
    """
    if auxiliary == "both":
        return list(LABEL_KEYS)
    if auxiliary not in LABEL_KEYS:
        raise InputError(f"auxiliary: expected one of {[*LABEL_KEYS, 'both']}, found {auxiliary!r}")
    return [auxiliary]


def build_tasks(
    networks: Mapping[str, Callable[[], nn.Module]],
    auxiliary: str,
    strategy: str = "gradprom",
    supervised: bool = True,
    weight: float = 1e-4,
    learning_rate: float = 1e-4,
    device: torch.device | str = "cpu",
    imagenet_weights: str | None = None,
) -> list[RecognitionTask]:
    """Build the recognition tasks of a run; networks that it does not use are not made.

    Supervised losses are cross-entropy for a diagnosis and cross-entropy + Dice for a segmentation; unsupervised it
    is the mean squared error of class probabilities. Adam steps each network, but under ``frozen`` and ``none``.

    Args:
        networks: per kind ("diagnosis", "segmentation") what makes its network.
        auxiliary: a kind, or "both".
        strategy: see :mod:`shared.update_rules`, or "none".
        supervised: whether the cascade uses labels.
        weight: lambda of equation 1.
        learning_rate: of Adam.
        device: where the networks go.
        imagenet_weights: file with a torchvision ResNet state dict of the networks' depth.

    Raises:
        InputError: when ``auxiliary`` is unknown or has no network here, or the file does not fit.
    """
    tasks = []
    for kind in auxiliaries(auxiliary):
        if kind not in networks:
            known = " and ".join(name for name in networks if name in LABEL_KEYS)
            raise InputError(f"auxiliary: this bundle's data know {known} alone, found {auxiliary!r}")
        network = networks[kind]()
        _check_differentiable(kind, network)
        if imagenet_weights:
            load_imagenet_resnet(network, imagenet_weights)
        network.to(device)
        trainable = strategy not in ("frozen", "none")
        tasks.append(
            RecognitionTask(
                network,
                _supervised_loss(kind) if supervised else nn.MSELoss(),
                torch.optim.Adam(network.parameters(), lr=learning_rate) if trainable else None,
                LABEL_KEYS[kind] if supervised else None,
                weight,
                kind,
                divisible_by=32 if kind == "segmentation" else 1,
            )
        )
    return tasks


def _check_differentiable(kind: str, network: nn.Module) -> None:
    """Refuse MONAI's ResNets with shortcut type A: their shortcuts hide the gradient, so G_VR would be wrong.

    FlexibleUNet builds resnet18 and resnet34 encoders that way.
    """
    if any(isinstance(getattr(module, "downsample", None), functools.partial) for module in network.modules()):
        raise InputError(
            f"backbone: the {kind} network has ResNet shortcuts of type A, through which MONAI passes no gradient; "
            "expected resnet10, resnet50 or resnet101"
        )


class RecognitionEnsemble(nn.Module):
    """All recognition networks of a run as one module, for their training before the cascade.

    Args:
        tasks: kinds "diagnosis" and "segmentation" by name.
    """

    def __init__(self, tasks: Sequence[RecognitionTask]) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.networks = nn.ModuleDict({task.name: task.network for task in tasks})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logits per task for images [B, C, H, W]."""
        return {task.name: task.predict(images) for task in self.tasks}


class RecognitionLoss(nn.Module):
    """Sum of the supervised losses of all tasks; the networks share no parameter, so each has its own gradient.

    This stage uses labels also where the cascade does without (the "unsupervised" rows): a network that never saw
    a label could tell the enhancement network nothing.
    """

    def forward(self, logits: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> Tensor:
        """Return the loss; ``truth`` holds "class" [B] and "mask" [B, 1, H, W] as far as the tasks need them."""
        losses = [_supervised_loss(kind)(value, truth[LABEL_KEYS[kind]]) for kind, value in logits.items()]
        return torch.stack(losses).sum()


class PrepareRecognitionBatch(PrepareBatch):
    """Give a stock trainer images [B, C, H, W] and all ground truth of a batch, on the device.

    Args:
        images: batch key of what the networks look at: "label" (clean) or "image" (degraded; enlarged by bicubic
            interpolation to the size of the clean image where it is smaller, since the ground truth is of that size).
    """

    def __init__(self, images: str = "label") -> None:
        self.images = images

    def __call__(
        self,
        batchdata: dict[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Return images and a dictionary of ground truth; ``kwargs`` go to ``Tensor.to``."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, non_blocking=non_blocking, **kwargs)

        truth: Any = {key: move(batchdata[key]) for key in LABEL_KEYS.values() if key in batchdata}
        return enlarge_to(move(batchdata[self.images]), batchdata["label"].shape[-2:]), truth


def train_recognition(trainer: SupervisedTrainer | None) -> None:
    """Run the training of the recognition networks, in a run that has nothing else to train.

    Args:
        trainer: None where a bundle makes none, for data without labels.

    Raises:
        InputError: when there is no trainer.
    """
    if trainer is None:
        raise InputError("recognition alone: the data have no labels to learn from, expected masks or classes")
    trainer.run()


def _supervised_loss(kind: str) -> nn.Module:
    return nn.CrossEntropyLoss() if kind == "diagnosis" else DiceCELoss(to_onehot_y=True, softmax=True)
