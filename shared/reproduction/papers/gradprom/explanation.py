"""Figures that show what networks look at: guided back-propagation and class-activation maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.errors import InputError
from shared.reporting.drawing import heat_pixels, rgb, upright
from shared.reproduction.papers.gradprom.activation import LAYER, class_activation
from shared.reproduction.papers.gradprom.guided import explain_enhancement, explain_recognition
from shared.reproduction.papers.gradprom.sheet import Row, Tile, draw_sheet, image_tile, legend
from shared.reproduction.papers.gradprom.trained import Sample, TrainedRun, load_all, same_samples

DIAGNOSIS = "diagnosis"
VR = {"segmentation": "VR_seg", DIAGNOSIS: "VR_dia"}


def figure2(runs: Mapping[str, str | Path], images: int = 3) -> bytes:
    """Draw guided back-propagation of IP, VR_seg and VR_dia (figure 2).

    Each network is shown what it sees in the cascade: IP the degraded image, VR what IP makes of it. Explained are
    L_IP (IP), the sum of the foreground's logits where the answer is foreground (VR_seg), and the logit of the answer
    (VR_dia). The length of the gradient over the channels is drawn, each map up to its own
    99th percentile: intensities and logits have no common unit.

    Args:
        runs: folders of finished runs by label.
        images: number of test images per run, spread over the test set.

    Raises:
        InputError: when a run cannot be read, or a network has nothing that guides.
    """
    trained = load_all(runs)
    names = [name for name in VR if any(name in run.tasks for run in trained.values())]
    rows = [
        Row(_guided_tiles(run, sample, names), f"{sample.id}  {label}")
        for label, run in trained.items()
        for sample in run.samples(images)
    ]
    columns = ["degraded", "guided, IP", "enhanced by IP", *(f"guided, {VR[name]}" for name in names)]
    sentences = [
        "Guided back-propagation: pixels of the degraded image on which the enhancement loss depends (IP), and pixels "
        "of the enhanced image on which the recognition networks' answers depend. Brighter is more; each map has a "
        "scale of its own, up to its 99th percentile."
    ]
    return draw_sheet(columns, rows, legend(sentences, trained))


def figure5(runs: Mapping[str, str | Path], images: int = 3, layer: str = LAYER) -> bytes:
    """Draw class-activation maps of VR_dia on the degraded, enhanced and clean image (figure 5).

    Each run's own diagnosis network explains the true class, so that the maps of a row and of strategies compare.

    Args:
        runs: folders of finished runs with a diagnosis network, by label; each has a row per image.
        images: number of test images, spread over the test set.
        layer: whose activations are weighted.

    Raises:
        InputError: when a run cannot be read, has no diagnosis network or no classes, or runs were tested on other
            images.
    """
    trained = load_all(runs)
    rows, cells = [], (0, 0)
    for sample in same_samples(trained, images):
        for label, run in trained.items():
            row, cells = _activation_row(label, run, sample, layer)
            rows.append(row)
    columns = ["clean image", "VR_dia on degraded", "VR_dia on enhanced", "VR_dia on clean"]
    sentences = [
        f"Grad-CAM of {layer} ({cells[0]} x {cells[1]} cells) for the true class: red where the diagnosis network sees "
        "it most, blue where it does not; each map up to its own maximum. Above each, the network's answer and the "
        "probability of the true class."
    ]
    return draw_sheet(columns, rows, legend(sentences, trained))


def _guided_tiles(run: TrainedRun, sample: Sample, names: list[str]) -> list[Tile | None]:
    enhanced = run.enhance(sample.image)
    tiles: list[Tile | None] = [
        image_tile(sample.degraded, run.orientation),
        _gradient_tile(explain_enhancement(run.network, sample.image, sample.clean), run.orientation),
        image_tile(enhanced, run.orientation),
    ]
    for name in names:
        task = run.tasks.get(name)
        tiles.append(None if task is None else _gradient_tile(explain_recognition(task, enhanced), run.orientation))
    return tiles


def _gradient_tile(gradient: Tensor, orientation: str) -> Tile:
    length = gradient.norm(dim=0).numpy()
    return Tile(heat_pixels(length / max(float(np.percentile(length, 99)), np.finfo(np.float32).tiny), orientation))


def _activation_row(label: str, run: TrainedRun, sample: Sample, layer: str) -> tuple[Row, tuple[int, int]]:
    if DIAGNOSIS not in run.tasks or sample.label is None:
        found = f"recognition tasks {sorted(run.tasks)}" if DIAGNOSIS not in run.tasks else "test images without class"
        raise InputError(f"{run.folder} ({label}): found {found}, expected a diagnosis for class-activation maps")
    versions = torch.stack([sample.degraded, run.enhance(sample.image), sample.clean])
    network = run.tasks[DIAGNOSIS].network
    maps, cells = class_activation(network, versions, sample.label, layer)
    with torch.no_grad():
        probabilities = network(versions.to(run.device)).softmax(1).cpu()
    tiles: list[Tile | None] = [image_tile(sample.clean, run.orientation)]
    for image, activation, probability in zip(versions, maps.numpy(), probabilities, strict=True):
        caption = f"answer {int(probability.argmax())}, p(true) {probability[sample.label]:.2f}"
        tiles.append(Tile(_overlay(image, activation, run.orientation), caption))
    return Row(tiles, f"{sample.id} (class {sample.label})  {label}"), cells


def _overlay(image: Tensor, activation: NDArray, orientation: str, share: float = 0.5) -> NDArray[np.uint8]:
    """Blend an image with a map in [0, 1] drawn from blue over green to red."""
    values = upright(activation, orientation)
    stops = (0.0, 0.25, 0.5, 0.75, 1.0)
    levels = ((0, 0, 0, 255, 255), (0, 128, 255, 255, 0), (255, 255, 0, 0, 0))
    colours = np.stack([np.interp(values, stops, level) for level in levels], axis=-1)
    # Grey below the colours: skin is red, tissue is pink.
    grey = rgb(image, orientation).mean(axis=-1, keepdims=True)
    return ((1 - share) * grey + share * colours).round().astype(np.uint8)
