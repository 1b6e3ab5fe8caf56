"""Load network weights that were trained elsewhere from a local file, with a report of what was loaded."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.networks.nets.resnet import ResNet
from monai.networks.utils import copy_model_state
from torch import Tensor, nn

from shared.errors import InputError
from shared.networks.weights import read_foreign

logger = logging.getLogger(__name__)

_SHORTCUT = re.compile(r"layer\d\.0\.downsample\.")
_OPTIONAL = re.compile(r"^fc\.|num_batches_tracked$")


@dataclass(frozen=True)
class WeightReport:
    """Say what became of each tensor: `str()` gives one line of counts and one line for each exception.

    Attributes:
        path: the file.
        matched: the network's tensors that now equal the file's.
        adapted: the network's tensors that were made from the file's, with how.
        skipped: the file's tensors that were not used, with why.
        missing: the network's tensors that the file does not hold; they keep their values.
    """

    path: str
    matched: tuple[str, ...]
    adapted: Mapping[str, str]
    skipped: Mapping[str, str]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"weights from {self.path}: {len(self.matched)} matched, {len(self.adapted)} adapted, "
            f"{len(self.skipped)} skipped, {len(self.missing)} of the network not in the file"
        ]
        lines += [f"  adapted {key}: {how}" for key, how in self.adapted.items()]
        lines += [f"  skipped {key}: {why}" for key, why in self.skipped.items()]
        if self.missing:
            modules = sorted({key.rpartition(".")[0].split(".")[0] for key in self.missing})
            lines.append(f"  not in the file, left as initialised: {len(self.missing)} tensors of {', '.join(modules)}")
        return "\n".join(lines)


def load_imagenet_resnet(network: nn.Module, path: str | Path) -> WeightReport:
    """Load torchvision ResNet weights from a local file into MONAI's 2-D ResNet or the encoder of a FlexibleUNet.

    The file must be of the network's depth: every backbone tensor is loaded, or none. Exceptions, all reported:
    the classifier is skipped when the network has none or one of another size; the first convolution of a
    1-channel network gets the sum over the three colours, which gives for a grey image what the original gives
    for its RGB copy; a shortcut's bias, which torchvision does not have, becomes zero; the shortcuts of a
    network whose shortcuts have no weights (MONAI's `shortcut_type="A"`, as in FlexibleUNet with resnet18 or
    resnet34) are skipped. ImageNet networks were trained on images normalised by the colour means and standard
    deviations of ImageNet; nothing of that is applied here, training on the images in [0, 1] adapts them.

    Args:
        network: `monai.networks.nets.resnet18/34/50/101/152(spatial_dims=2, conv1_t_stride=2,
            shortcut_type="B", bias_downsample=False, ...)` with 1 or 3 input channels, or
            `FlexibleUNet(backbone="resnet...", spatial_dims=2, ...)`. Changed in place.
        path: file made by `torch.save` of a state dict, plain or under the key "state_dict"; loaded with
            `weights_only=True`.

    Returns:
        The report, which is also logged.

    Raises:
        InputError: the network is neither of the two; the file is missing, is not a state dict, or holds the
            weights of another network or depth. The network is unchanged then.
    """
    encoder = getattr(network, "encoder", network)
    if not isinstance(encoder, ResNet):
        raise InputError(
            "load_imagenet_resnet: network must be a MONAI ResNet or a FlexibleUNet with a resnet backbone, "
            f"found {type(network).__name__}"
        )
    source = read_foreign(path)
    target = encoder.state_dict()
    new, adapted, skipped = _adapted(source, target)
    state, changed, unchanged = copy_model_state(target, new)
    _check_fit(new, target, changed, unchanged, path)
    encoder.load_state_dict(state)
    _warn_of_other_geometry(encoder)
    prefix = "encoder." if encoder is not network else ""
    report = WeightReport(
        path=str(path),
        matched=tuple(prefix + key for key in new if key not in adapted),
        adapted={prefix + key: how for key, how in adapted.items()},
        skipped=skipped,
        missing=tuple(
            key for key in network.state_dict()
            if key.removeprefix(prefix) not in new and not key.endswith("num_batches_tracked")
        ),
    )
    logger.info("%s", report)
    return report


def _adapted(
    source: Mapping[str, Tensor], target: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, str], dict[str, str]]:
    """Return what of a torchvision ResNet goes into MONAI's, what of it was changed and how, what was left and why."""
    new: dict[str, Tensor] = {}
    adapted: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for key, value in source.items():
        if key.startswith("fc.") and (key not in target or target[key].shape != value.shape):
            size = f"{len(target[key])} outputs" if key in target else "no classifier"
            skipped[key] = f"classifier of {len(value)} outputs, the network has {size}"
        elif _SHORTCUT.match(key) and not any(_SHORTCUT.match(name) for name in target):
            skipped[key] = "the network's shortcuts have no weights (shortcut_type A)"
        elif key == "conv1.weight" and value.dim() == 4 and _is_grey_version(value, target[key]):
            new[key] = value.sum(dim=1, keepdim=True)
            adapted[key] = "sum over 3 colours for 1 input channel"
        else:
            new[key] = value
    for key in target:
        if key not in new and re.fullmatch(_SHORTCUT.pattern + r"0\.bias", key):
            new[key] = torch.zeros_like(target[key])
            adapted[key] = "zero, torchvision's shortcuts have no bias"
    return new, adapted, skipped


def _is_grey_version(colour: Tensor, grey: Tensor) -> bool:
    """Say whether `grey` [F, 1, kH, kW] differs from `colour` [F, 3, kH, kW] in its input channels alone."""
    return colour.shape[1] == 3 and grey.shape[1] == 1 and colour[:, :1].shape == grey.shape


def _check_fit(
    new: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    changed: list[str],
    unchanged: list[str],
    path: str | Path,
) -> None:
    """Raise InputError unless ``new`` fills ``target``, but for classifier and batch counters, with nothing left over.

    Args:
        new: the tensors of the file.
        target: those of the network.
        changed: keys of ``target`` that the file has in the same shape, as MONAI's ``copy_model_state`` says.
        unchanged: all others.
        path: the file, for the message.
    """
    unknown = [key for key in new if key not in target]
    absent = [key for key in target if key in set(unchanged) - set(new) and not _OPTIONAL.search(key)]
    other = [key for key in new if key in unchanged]
    if not unknown and not absent and not other:
        return
    problems = []
    if other:
        found, expected = list(new[other[0]].shape), list(target[other[0]].shape)
        problems.append(f"{len(other)} of another shape, first {other[0]}: found {found}, expected {expected}")
    if absent:
        problems.append(f"{len(absent)} not in the file, first {absent[0]}")
    if unknown:
        problems.append(f"{len(unknown)} that the network does not have, first {unknown[0]}")
    raise InputError(
        f"{path}: made for another network: {len(changed)} of the network's {len(target)} tensors fit; "
        + "; ".join(problems)
    )


def _warn_of_other_geometry(encoder: ResNet) -> None:
    """Warn when the weights fit but strides differ, which no shape tells."""
    if tuple(encoder.conv1.stride) != (2, 2):
        logger.warning(
            "load_imagenet_resnet: the first convolution has stride %s, ImageNet ResNets have 2 (conv1_t_stride=2)",
            tuple(encoder.conv1.stride),
        )
    if encoder.no_max_pool:
        logger.warning("load_imagenet_resnet: the network has no max pooling, ImageNet ResNets do (no_max_pool=False)")
