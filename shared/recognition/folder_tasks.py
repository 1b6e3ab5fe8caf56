"""What a run on a person's own data recognises: by masks, by classes, by a checkpoint, or nothing at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shared.data.folder import FolderContents
from shared.errors import InputError
from shared.networks import weights
from shared.recognition import RecognitionTask, tasks

logger = logging.getLogger(__name__)

OUTPUT_LAYERS = {"segmentation": "segmentation_head.0.weight", "diagnosis": "fc.weight"}
"""Last layer of MONAI's FlexibleUNet and ResNet; the kind that a folder offers first is the one that is used."""

LABELS = (
    "give masks (--masks FOLDER), a table of classes (--classes FILE) or a trained recognition network "
    "(--recognition_weights FILE)"
)
WAYS_OUT = f"{LABELS}, or train with --strategy none"


def recognisable(contents: FolderContents, recognition_weights: str | None = None) -> dict[str, int]:
    """Return the outputs (classes) of each recognition network that can be had, "segmentation" first.

    Args:
        contents: of the folder; not asked when there is a checkpoint.
        recognition_weights: file with a state dict, or ``recognition.pt`` of a bundle.

    Raises:
        InputError: the file is missing or holds no recognition network of these bundles.
    """
    if recognition_weights is not None:
        states = recognition_states(recognition_weights)
        return {kind: len(states[kind][layer]) for kind, layer in OUTPUT_LAYERS.items() if kind in states}
    return labelled(contents)


def labelled(contents: FolderContents) -> dict[str, int]:
    """Return the number of classes of each kind of label that the folder has."""
    counts = {"segmentation": len(contents.mask_values), "diagnosis": len(contents.class_names)}
    return {kind: count for kind, count in counts.items() if count}


def default_channels(contents: FolderContents) -> int:
    """Return 1 when every image of the folder is grey, else 3."""
    return contents.channels


def default_auxiliary(recognisable: Mapping[str, int], recognition_weights: str | None = None) -> str:
    """Return "segmentation" where there are masks, else "diagnosis", else "none"; all that a checkpoint holds."""
    if recognition_weights is not None and len(recognisable) > 1:
        return "both"
    return next(iter(recognisable), "none")


def default_strategy(auxiliary: str) -> str:
    """Return "gradprom", or "none" with a warning when there is nothing to recognise."""
    if auxiliary != "none":
        return "gradprom"
    logger.warning(f"no masks, classes or recognition weights: trains by the enhancement loss alone; else {LABELS}")
    return "none"


def default_supervised(recognition_weights: str | None = None) -> bool:
    """Return whether the cascade uses labels: without a checkpoint, whose classes need not be those of the folder."""
    return recognition_weights is None


def build_tasks(
    networks: Mapping[str, Callable[[], nn.Module]],
    contents: FolderContents,
    auxiliary: str,
    strategy: str = "gradprom",
    supervised: bool = True,
    recognition_weights: str | None = None,
    weight: float = 1e-4,
    learning_rate: float = 1e-4,
    device: torch.device | str = "cpu",
    channels: int | None = None,
) -> list[RecognitionTask]:
    """Build the recognition tasks as ``tasks.build_tasks`` does; load the checkpoint where there is one.

    Args:
        networks: per kind what makes its network.
        contents: of the folder.
        auxiliary: "segmentation", "diagnosis", "both", or "none".
        strategy: see :mod:`shared.update_rules`, or "none".
        supervised: whether the cascade uses labels.
        recognition_weights: file with trained weights; they replace the stage that trains the networks.
        weight: lambda of equation 1.
        learning_rate: of Adam.
        device: where the networks go.
        channels: of the images that the networks look at, see :class:`~shared.recognition.RecognitionTask`.

    Returns:
        No task when ``auxiliary`` is "none".

    Raises:
        InputError: the strategy needs a recognition network and there is none, labels that are used are missing, or
            the checkpoint is that of another network.
    """
    if auxiliary == "none":
        if strategy != "none":
            raise InputError(f"strategy: found {strategy!r}, but no masks, classes or recognition weights; {WAYS_OUT}")
        return []
    states = None if recognition_weights is None else recognition_states(recognition_weights)
    available, labels = recognisable(contents, recognition_weights), labelled(contents)
    for kind in tasks.auxiliaries(auxiliary):
        if kind not in available:
            place = "the folder has no labels" if states is None else f"'{recognition_weights}' holds no network"
            raise InputError(f"auxiliary: found {auxiliary!r}, but {place} for {kind}; {WAYS_OUT}")
        if supervised and labels.get(kind) != available[kind]:
            raise InputError(
                f"supervised: found True, but for {kind} the folder has {labels.get(kind, 0)} classes and "
                f"'{recognition_weights}' {available[kind]}; expected --supervised False"
            )
    built = tasks.build_tasks(
        networks, auxiliary, strategy, supervised, weight, learning_rate, device, channels=channels
    )
    for task in built if states is not None else []:
        try:
            weights.load_into(task.network, states[task.name], str(recognition_weights))  # type: ignore[index]
        except InputError as err:
            hint = "give --backbone and --channels of the run that trained it"
            raise InputError(f"recognition_weights: {err}; {hint}") from err
    return built


def recognition_states(path: str | Path) -> dict[str, dict[str, Any]]:
    """Return the state dicts in a file by kind of network.

    Args:
        path: a state dict of one network, or several by kind as ``recognition.pt`` holds them.

    Raises:
        InputError: the file is missing, or holds neither.
    """
    content = weights.read(Path(path).expanduser())
    states = {kind: content[kind] for kind in OUTPUT_LAYERS if isinstance(content.get(kind), Mapping)}
    states = states or {kind: content for kind, layer in OUTPUT_LAYERS.items() if layer in content}
    found = {kind: state for kind, state in states.items() if OUTPUT_LAYERS[kind] in state}
    if not found:
        raise InputError(
            f"recognition_weights: '{path}' holds no recognition network, expected recognition.pt of a bundle or a "
            f"state dict with {' or '.join(OUTPUT_LAYERS.values())} (MONAI's FlexibleUNet or ResNet)"
        )
    return found
