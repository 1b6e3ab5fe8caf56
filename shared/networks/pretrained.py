"""Load network weights that were trained elsewhere from a local file, with a report of what was loaded."""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from shared.errors import InputError
from shared.networks.srresnet import SRResNet

logger = logging.getLogger(__name__)

SRGAN_PYTORCH_KEYS: Mapping[str, str] = {
    r"conv(?:_block)?1\.": "head.",
    r"trunk\.(\d+)\.rcb\.": r"blocks.\1.branch.",
    r"conv(?:_block)?2\.": "fusion.",
    r"upsampling\.(\d+)\.upsample_block\.": r"upsampling.\1.",
    r"conv(?:_block)?3\.": "tail.",
}
"""Names in SRGAN-PyTorch's SRResNet weights (regular expressions at the start of a key) and in `SRResNet`.

Read from that project's model.py of 2022 to 2025; releases of 2022 say `conv_block1` where later ones say `conv1`.
"""

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")
_SHORTCUT = re.compile(r"layer\d\.0\.downsample\.")


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
    source = read_state_dict(path)
    target = encoder.state_dict()
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
    optional = {key for key in target if key.startswith("fc.") or key.endswith("num_batches_tracked")}
    _check_fit(new, target, path, optional)
    encoder.load_state_dict(new, strict=False)
    _warn_of_other_geometry(encoder)
    return _report(network, "encoder." if encoder is not network else "", path, new, adapted, skipped)


def load_srresnet(network: SRResNet, path: str | Path, key_map: Mapping[str, str] | None = None) -> WeightReport:
    """Load SRResNet weights for ×2 or ×4 that were trained elsewhere from a local file.

    The default map reads the files of SRGAN-PyTorch (SRResNet_x2, SRResNet_x4, and SRGAN's generator, 3
    channels in and out): `SRResNet(3, 3, upscale_factor=2)` or 4 with `norm="batch"`. That network clamps its
    output to [0, 1], ours does not. An own `state_dict` of `SRResNet` loads with `key_map={}`.

    Args:
        network: changed in place.
        path: as for `load_imagenet_resnet`.
        key_map: regular expression for the start of a key in the file, to its replacement; the first that
            matches is used. None means `SRGAN_PYTORCH_KEYS`; an empty map takes keys as they are. Keys
            that no expression matches are skipped.

    Returns:
        The report, which is also logged.

    Raises:
        InputError: the file is missing, is not a state dict, or does not fill the whole network. The network
            is unchanged then.
    """
    patterns = SRGAN_PYTORCH_KEYS if key_map is None else key_map
    new: dict[str, Tensor] = {}
    skipped: dict[str, str] = {}
    for key, value in read_state_dict(path).items():
        name = _translate(key, patterns)
        if name is None:
            skipped[key] = "no entry of key_map matches"
        else:
            new[name] = value
    target = network.state_dict()
    _check_fit(new, target, path, {key for key in target if key.endswith("num_batches_tracked")})
    network.load_state_dict(new, strict=False)
    return _report(network, "", path, new, {}, skipped)


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Return the state dict in a file on the CPU, with the prefixes of data-parallel and compiled networks removed.

    Raises:
        InputError: the file is missing, unreadable, or holds something else than named tensors.
    """
    if not Path(path).is_file():
        raise InputError(f"weights {path}: no such file, expected a state dict written by torch.save")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as err:
        reason = str(err).split("\n")[0]
        raise InputError(f"weights {path}: not readable as a state dict of tensors alone ({reason})") from err
    for wrapper in _WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(v, Tensor) for v in loaded.values()):
        found = f"keys {', '.join(map(str, list(loaded)[:3]))}" if isinstance(loaded, dict) else type(loaded).__name__
        raise InputError(f"weights {path}: expected a dict of named tensors, found {found or 'nothing'}")
    return {_without_prefixes(str(key)): value for key, value in loaded.items()}


def _without_prefixes(key: str) -> str:
    while key.startswith(_PREFIXES):
        key = key.split(".", 1)[1]
    return key


def _translate(key: str, patterns: Mapping[str, str]) -> str | None:
    for pattern, replacement in patterns.items():
        name, count = re.subn(f"^(?:{pattern})", replacement, key)
        if count:
            return name
    return None if patterns else key


def _is_grey_version(colour: Tensor, grey: Tensor) -> bool:
    """Say whether `grey` [F, 1, kH, kW] differs from `colour` [F, 3, kH, kW] in its input channels alone."""
    return colour.shape[1] == 3 and grey.shape[1] == 1 and colour[:, :1].shape == grey.shape


def _check_fit(new: Mapping[str, Tensor], target: Mapping[str, Tensor], path: str | Path, optional: set[str]) -> None:
    """Raise InputError unless `new` fills `target` but for `optional`, with equal shapes and nothing left over."""
    unknown = [key for key in new if key not in target]
    absent = [key for key in target if key not in new and key not in optional]
    other = [key for key in new if key in target and new[key].shape != target[key].shape]
    if not unknown and not absent and not other:
        return
    fitting = sum(1 for key in new if key in target) - len(other)
    problems = []
    if other:
        found, expected = list(new[other[0]].shape), list(target[other[0]].shape)
        problems.append(f"{len(other)} of another shape, first {other[0]}: found {found}, expected {expected}")
    if absent:
        problems.append(f"{len(absent)} not in the file, first {absent[0]}")
    if unknown:
        problems.append(f"{len(unknown)} that the network does not have, first {unknown[0]}")
    raise InputError(
        f"weights {path}: made for another network: {fitting} of the network's {len(target)} tensors fit; "
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


def _report(
    network: nn.Module,
    prefix: str,
    path: str | Path,
    new: Mapping[str, Tensor],
    adapted: Mapping[str, str],
    skipped: Mapping[str, str],
) -> WeightReport:
    loaded = {prefix + key for key in new}
    report = WeightReport(
        path=str(path),
        matched=tuple(prefix + key for key in new if key not in adapted),
        adapted={prefix + key: how for key, how in adapted.items()},
        skipped=dict(skipped),
        missing=tuple(k for k in network.state_dict() if k not in loaded and not k.endswith("num_batches_tracked")),
    )
    logger.info("%s", report)
    return report
