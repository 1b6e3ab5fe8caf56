"""Which perceptual loss a run has: by VGG19, by the run's own recognition network, or none."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shared.errors import InputError
from shared.losses import FeatureLoss
from shared.networks import VGG19Features
from shared.recognition.task import RecognitionTask

KINDS = ("none", "vgg19", "recognition")


def perceptual_loss(
    kind: str,
    vgg19_weights: str | None = None,
    tasks: Sequence[RecognitionTask] = (),
    layer: str = "conv5_4",
    device: torch.device | str = "cpu",
) -> FeatureLoss | None:
    """Return the perceptual loss that a configuration names, None for no such loss.

    Features of a network that has learnt nothing are never taken instead.

    Args:
        kind: "vgg19" (RIRGAN, equation 12), "recognition" (ours: features of the run's segmentation network, which
            knows the organ and needs no file, see :class:`RecognitionFeatures`) or "none".
        vgg19_weights: file with the state dict of torchvision's ``vgg19``.
        tasks: the recognition tasks of the run, of which the first with an encoder is taken.
        layer: of VGG19, see :class:`~shared.networks.VGG19Features`.
        device: where VGG19 goes.

    Raises:
        InputError: when the kind is unknown or has not what it needs.
    """
    if kind not in KINDS:
        raise InputError(f"perceptual: expected one of {list(KINDS)}, found {kind!r}")
    if kind == "vgg19":
        if not vgg19_weights:
            raise InputError(
                "vgg19_weights: found no file, which perceptual 'vgg19' needs; expected the state dict of torchvision's"
                " vgg19 with its ImageNet weights, https://download.pytorch.org/models/vgg19-dcbb9e9d.pth; perceptual "
                "'none' and 'recognition' do without"
            )
        return FeatureLoss(VGG19Features(vgg19_weights, layer).to(device))
    if kind == "recognition":
        return FeatureLoss(RecognitionFeatures(_with_encoder(tasks)))
    return None


class RecognitionFeatures(nn.Module):
    """Map images to the last feature map of a recognition network's encoder, as it was when training began; frozen.

    The recognition network may go on learning, and features that move would be no measure. So a copy of the encoder is
    taken at the first call, which comes after the recognition network was trained alone. The copy and whether it has
    been taken are part of ``state_dict``, so that a run which continues goes on with it. In evaluation mode always.

    Args:
        task: its network has an ``encoder`` that returns feature maps, the last one the deepest, as MONAI's
            FlexibleUNet has; images are padded and made grey as the task does for its network.
    """

    def __init__(self, task: RecognitionTask) -> None:
        super().__init__()
        self._task = task
        self._taken = False
        self.encoder = copy.deepcopy(_encoder(task)).requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, F, H', W'] of images [B, C, H, W] in [0, 1]."""
        if not self._taken:
            self.encoder.load_state_dict(_encoder(self._task).state_dict())
            self._taken = True
        deepest: Tensor = self.encoder(self._task.as_input(images))[-1]
        return deepest

    def train(self, mode: bool = True) -> RecognitionFeatures:
        """Stay in evaluation mode."""
        return super().train(False)

    def get_extra_state(self) -> Tensor:
        """Return whether the copy has been taken."""
        return torch.tensor(self._taken)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore what :meth:`get_extra_state` gave."""
        self._taken = bool(state)


def _encoder(task: RecognitionTask) -> nn.Module:
    encoder: nn.Module = task.network.encoder  # type: ignore[assignment]
    return encoder


def _with_encoder(tasks: Sequence[RecognitionTask]) -> RecognitionTask:
    for task in tasks:
        if isinstance(getattr(task.network, "encoder", None), nn.Module):
            return task
    raise InputError(
        "perceptual: 'recognition' needs a segmentation network with an encoder (MONAI's FlexibleUNet), found "
        f"recognition tasks {[task.name for task in tasks]}; expected auxiliary 'segmentation', where there is "
        "that key, or perceptual 'vgg19' or 'none'"
    )
