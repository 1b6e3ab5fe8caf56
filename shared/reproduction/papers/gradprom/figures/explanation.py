"""Figures that show what networks look at: guided back-propagation and class-activation maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shared.errors import InputError
from shared.reporting.class_activation import LAYER, class_activation
from shared.reporting.display import displayed, upright
from shared.reporting.guided_backpropagation import explain_enhancement, explain_recognition
from shared.reporting.panels import Picture, Row, draw_pictures, image_picture
from shared.reproduction.trained_run import Sample, TrainedRun, any_phantom, legend, load_all, same_samples

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
        Row(_guided_pictures(run, sample, names), f"{sample.id}  {label}")
        for label, run in trained.items()
        for sample in run.samples(images)
    ]
    columns = ["degraded", "guided, IP", "enhanced by IP", *(f"guided, {VR[name]}" for name in names)]
    sentences = [
        "Guided back-propagation: pixels of the degraded image on which the enhancement loss depends (IP), and pixels "
        "of the enhanced image on which the recognition networks' answers depend. Brighter is more; each map has a "
        "scale of its own, up to its 99th percentile."
    ]
    return draw_pictures(columns, rows, legend(sentences, any_phantom(trained)))


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
    return draw_pictures(columns, rows, legend(sentences, any_phantom(trained)))


def _guided_pictures(run: TrainedRun, sample: Sample, names: list[str]) -> list[Picture | None]:
    enhanced = run.enhance(sample.image)
    pictures: list[Picture | None] = [
        image_picture(sample.degraded, run.orientation),
        _gradient_picture(explain_enhancement(run.network, sample.image, sample.clean), run.orientation),
        image_picture(enhanced, run.orientation),
    ]
    for name in names:
        task = run.tasks.get(name)
        explained = None if task is None else explain_recognition(task, enhanced)
        pictures.append(None if explained is None else _gradient_picture(explained, run.orientation))
    return pictures


def _gradient_picture(gradient: Tensor, orientation: str) -> Picture:
    length = gradient.norm(dim=0).numpy()
    # A gradient that is 0 everywhere, too, has a scale.
    scale = max(float(np.percentile(length, 99)), float(np.finfo(np.float32).tiny))
    return Picture(upright(length, orientation), scale=scale)


def _activation_row(label: str, run: TrainedRun, sample: Sample, layer: str) -> tuple[Row, tuple[int, int]]:
    if DIAGNOSIS not in run.tasks or sample.label is None:
        found = f"recognition tasks {sorted(run.tasks)}" if DIAGNOSIS not in run.tasks else "test images without class"
        raise InputError(f"{run.folder} ({label}): found {found}, expected a diagnosis for class-activation maps")
    versions = torch.stack([sample.degraded, run.enhance(sample.image), sample.clean])
    network = run.tasks[DIAGNOSIS].network
    maps, cells = class_activation(network, versions, sample.label, layer)
    with torch.no_grad():
        probabilities = network(versions.to(run.device)).softmax(1).cpu()
    pictures: list[Picture | None] = [image_picture(sample.clean, run.orientation)]
    for image, activation, probability in zip(versions, maps.numpy(), probabilities, strict=True):
        caption = f"answer {int(probability.argmax())}, p(true) {probability[sample.label]:.2f}"
        grey = displayed(image.clamp(0, 1).mean(dim=0, keepdim=True), run.orientation)
        # Grey below the colours: skin is red, tissue is pink.
        pictures.append(Picture(grey, caption, overlay=upright(activation, run.orientation)))
    return Row(pictures, f"{sample.id} (class {sample.label})  {label}"), cells
