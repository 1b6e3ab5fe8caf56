"""Draw chest CT slices in a lung window: two lungs with vessels, and in them opacities or thickened lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: What the lungs show besides vessels; their mean density and its spread do not depend on it.
FINDINGS = ("lines", "opacities")


@dataclass(frozen=True)
class Patient:
    """What the slices of one patient share."""

    finding: str
    tissue: float
    density: float
    contrast: float
    width: float
    outline: Array
    seed: int


def random_patient(rng: np.random.Generator, finding: str) -> Patient:
    """Draw a patient; only ``finding`` depends on the class."""
    return Patient(
        finding=finding,
        tissue=float(rng.uniform(0.68, 0.82)),
        density=float(rng.uniform(0.30, 0.38)),
        contrast=float(rng.uniform(0.17, 0.20)),
        width=float(rng.uniform(0.92, 1.05)),
        outline=rng.normal(0, 1, (2, 2, 3)) * np.array([0.04, 0.03, 0.02]),
        seed=int(rng.integers(2**31)),
    )


def draw(patient: Patient, rng: np.random.Generator, height: int, width: int) -> Array:
    """Draw one slice of a patient [H, W] in [0, 1]: shifted, turned a little and at a level of its own."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    centre = rng.uniform(-0.03, 0.03, 2)
    angle = rng.uniform(-0.1, 0.1)
    down, right = 2 * rows / (height - 1) - 1 - centre[0], 2 * columns / (width - 1) - 1 - centre[1]
    y, x = down * np.cos(angle) - right * np.sin(angle), right * np.cos(angle) + down * np.sin(angle)
    level = rng.uniform(0.92, 1.08)

    image = _body(patient, y, x)
    lungs = _lungs(patient, y, x, level)
    inside = 1 / (1 + np.exp(-30 * lungs))
    mask = lungs > 0.02
    vessels = _lines(np.random.default_rng(patient.seed), y, level, count=10, thickness=0.035)
    texture = vessels + _finding(patient, rng, y, x, mask, level)
    # Equal mean and spread inside the lungs for both findings, so that neither tells them apart. The brightest lines
    # are cut off first: white is the end of the range.
    texture = _standardise(np.minimum(_standardise(texture, inside), 3.0), inside)
    image += inside * (patient.density + patient.contrast * texture - image)
    image *= rng.uniform(0.95, 1.05)
    image += rng.normal(0, 0.012, image.shape)
    return np.asarray(np.clip(image, 0, 1))


def _standardise(texture: Array, weights: Array) -> Array:
    """Give the texture mean 0 and standard deviation 1 where the weights are."""
    centred = texture - np.average(texture, weights=weights)
    return np.asarray(centred / np.sqrt(np.average(centred**2, weights=weights)))


def _body(patient: Patient, y: Array, x: Array) -> Array:
    """Chest wall, heart, aorta, spine and ribs on black air, without lungs."""
    radius = np.sqrt((x / (0.93 * patient.width)) ** 2 + (y / 0.84) ** 2)
    image = patient.tissue / (1 + np.exp(25 * (radius - 1)))
    image *= 1 - 0.2 * np.exp(-(((radius - 0.93) / 0.04) ** 2))
    turns = np.arctan2(y, x)
    ribs = np.exp(-(((radius - 0.85) / 0.03) ** 2)) * (np.cos(9 * turns + patient.seed % 7) > 0.2)
    spine = np.exp(-(((x / 0.13) ** 2 + ((y - 0.6) / 0.13) ** 2) ** 2))
    aorta = np.exp(-((((x - 0.12) / 0.08) ** 2 + ((y - 0.36) / 0.08) ** 2) ** 2))
    return np.asarray(image + 0.16 * ribs + 0.2 * spine + 0.08 * aorta)


def _lungs(patient: Patient, y: Array, x: Array, level: float) -> Array:
    """Above 0 inside the lungs, below outside; the heart takes a part of the one on the right of the picture."""
    found = np.full(y.shape, -np.inf)
    for side, outline in zip((-1, 1), patient.outline, strict=True):
        v, u = (y + 0.02) / (0.66 * level), (x - side * 0.43 * patient.width) / (0.36 * level)
        turns = np.arange(2, 5)[:, None, None] * np.arctan2(v, u)
        edge = 1 + np.tensordot(outline[0], np.cos(turns), 1) + np.tensordot(outline[1], np.sin(turns), 1)
        found = np.maximum(found, edge - np.hypot(v, u))
    heart = np.hypot((x - 0.12) / 0.3, (y + 0.2) / 0.33) - 1
    return np.asarray(np.minimum(found, heart))


def _finding(patient: Patient, rng: np.random.Generator, y: Array, x: Array, mask: Mask, level: float) -> Array:
    if patient.finding == "lines":
        return _lines(rng, y, level, count=14, thickness=0.045)
    return _opacities(rng, y, x, mask)


def _opacities(rng: np.random.Generator, y: Array, x: Array, mask: Mask) -> Array:
    """Four to six hazy patches, about half of a lung's width across, with fuzzy edges."""
    height, width = y.shape
    places = np.argwhere(mask)
    haze = np.zeros(y.shape)
    ragged = _smooth_noise(rng, height, width, cell=10)
    for place in places[rng.choice(len(places), rng.integers(4, 7))]:
        radius = rng.uniform(0.15, 0.21)
        distance = np.hypot(y - y[tuple(place)], x - x[tuple(place)]) / radius
        haze = np.maximum(haze, 1 / (1 + np.exp(7 * (distance - 1 + 0.12 * ragged))))
    return np.asarray(haze)


def _lines(rng: np.random.Generator, y: Array, level: float, count: int, thickness: float) -> Array:
    """Curved lines from the middle of each lung's inner edge outwards, fainter at their ends; at most 1."""
    height, width = y.shape
    drawn = np.zeros(y.shape)
    t = np.linspace(0, 1, height + width)[:, None]
    for number in range(count):
        side = 1 if number % 2 else -1
        turn = rng.uniform(-0.45, 0.45) * np.pi
        reach = rng.uniform(0.6, 1.0) * level
        end = np.array([0.6 * np.sin(turn), side * (0.2 + 0.5 * np.cos(turn))]) * reach
        start = np.array([rng.uniform(-0.1, 0.1), side * rng.uniform(0.15, 0.25)])
        bend = (start + end) / 2 + rng.normal(0, 0.1, 2)
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        places = np.rint((curve + 1) / 2 * [height - 1, width - 1]).astype(int).clip(0, [height - 1, width - 1])
        drawn[places[:, 0], places[:, 1]] = np.maximum(drawn[places[:, 0], places[:, 1]], 1 - 0.5 * t[:, 0])
    sigma = thickness * height / 4
    # A straight line one pixel wide peaks at 1 / (sigma sqrt(2 pi)) after the filter.
    return np.asarray((gaussian_filter(drawn, sigma) * sigma * 2).clip(0, 1))


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cell: int) -> Array:
    """Noise [H, W] of about unit variance that changes over ``cell`` pixels."""
    coarse = rng.normal(0, 1.2, (height // cell + 2, width // cell + 2)).astype(np.float32)
    fine = Image.fromarray(coarse).resize((coarse.shape[1] * cell, coarse.shape[0] * cell), Image.Resampling.BICUBIC)
    return np.asarray(fine, dtype=np.float64)[cell : cell + height, cell : cell + width]
