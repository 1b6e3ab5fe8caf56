"""The recognition tasks of a run: which networks its key ``auxiliary`` names, and how they learn."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import torch
from torch import nn

from shared.errors import InputError
from shared.losses.recognition import LABEL_KEYS, supervised_loss
from shared.networks import load_imagenet_resnet
from shared.recognition.task import RecognitionTask


def auxiliaries(auxiliary: str) -> list[str]:
    """Return the kinds of recognition behind the key ``auxiliary``: both for "both", no kind for "none".

    Raises:
        InputError: when the value is unknown.
    """
    if auxiliary == "both":
        return list(LABEL_KEYS)
    if auxiliary == "none":
        return []
    if auxiliary not in LABEL_KEYS:
        raise InputError(f"auxiliary: expected one of {[*LABEL_KEYS, 'both', 'none']}, found {auxiliary!r}")
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
    channels: int | None = None,
) -> list[RecognitionTask]:
    """Build the recognition tasks of a run; networks that it does not use are not made.

    Supervised losses are cross-entropy for a diagnosis and cross-entropy + Dice for a segmentation; unsupervised it
    is the mean squared error of class probabilities. Adam steps each network, but under ``frozen`` and ``none``.

    Args:
        networks: per kind ("diagnosis", "segmentation") what makes its network.
        auxiliary: a kind, "both", or "none" for no task.
        strategy: see :mod:`shared.update_rules`, or "none".
        supervised: whether the cascade uses labels.
        weight: lambda of equation 1.
        learning_rate: of Adam.
        device: where the networks go.
        imagenet_weights: file with a torchvision ResNet state dict of the networks' depth.
        channels: of the images that the networks look at, see :class:`~shared.recognition.RecognitionTask`.

    Raises:
        InputError: when ``auxiliary`` is unknown or has no network here, ``strategy`` asks for a task and there is
            none, or the file does not fit.
    """
    if auxiliary == "none" and strategy != "none":
        raise InputError(
            f"strategy: found {strategy!r}, which needs a recognition network, but auxiliary is 'none'; "
            "expected strategy 'none' or another auxiliary"
        )
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
                supervised_loss(kind) if supervised else nn.MSELoss(),
                torch.optim.Adam(network.parameters(), lr=learning_rate) if trainable else None,
                LABEL_KEYS[kind] if supervised else None,
                weight,
                kind,
                divisible_by=32 if kind == "segmentation" else 1,
                channels=channels,
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
