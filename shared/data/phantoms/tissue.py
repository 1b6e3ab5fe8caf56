"""Draw stained tissue: nuclei of six kinds that differ in the fine structure of their chromatin and lobes alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]

#: Kinds of nuclei in the order of Lizard's classes 1 to 6.
KINDS = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")
#: Side of a square of tissue in which one kind dominates, in pixels.
ZONE = 64
#: Distance of neighbouring nuclei, and largest radius of a nucleus, in pixels.
SPACING, RADIUS = 20.0, 9.0
#: Share of a zone's nuclei that are of its kind; the others are of any kind.
SHARE = 0.92

#: Optical density per channel of eosin (pink) and haematoxylin (blue), about unit length.
_EOSIN = np.array([0.09, 0.42, 0.20])
_HAEMATOXYLIN = np.array([0.68, 0.62, 0.28])


@dataclass(frozen=True)
class Tissue:
    """One image and what is known of its nuclei.

    Attributes:
        image: [H, W, 3] in [0, 1].
        instances: [H, W], number of the nucleus + 1 at each pixel, 0 between the nuclei.
        kinds: index into `KINDS` of each nucleus.
    """

    image: Array
    instances: NDArray[np.int32]
    kinds: NDArray[np.int64]


def draw(rng: np.random.Generator, zones: NDArray[np.int64]) -> Tissue:
    """Draw tissue of which each zone has a dominating kind.

    Stain, light and the amount of haematoxylin of a nucleus do not depend on its kind.

    Args:
        rng: source of all randomness.
        zones: [rows, columns], index into `KINDS` of each square of `ZONE` pixels.
    """
    height, width = (ZONE * count for count in zones.shape)
    density = np.zeros((height, width))
    instances = np.zeros((height, width), np.int32)
    kinds: list[int] = []
    for y, x in _places(rng, height, width):
        kind = int(zones[int(y) // ZONE, int(x) // ZONE])
        if rng.random() > SHARE:
            kind = int(rng.integers(len(KINDS)))
        if _stamp(rng, kind, (y, x), density, instances, len(kinds) + 1):
            kinds.append(kind)
    return Tissue(_stain(rng, density), instances, np.array(kinds))


def _places(rng: np.random.Generator, height: int, width: int) -> Array:
    """Centres of nuclei [N, 2] on a jittered lattice with gaps, in random order."""
    rows, columns = np.mgrid[0 : height / SPACING + 1, 0 : width / SPACING + 1]
    points = np.stack([rows * SPACING, (columns + 0.5 * (rows % 2)) * SPACING], -1).reshape(-1, 2)
    points = points + rng.uniform(0, SPACING, 2) - SPACING / 2 + rng.normal(0, 0.07 * SPACING, points.shape)
    points = points[rng.random(len(points)) > 0.12]
    inside = ((points >= 0) & (points < [height, width])).all(axis=1)
    return rng.permutation(points[inside])


def _stamp(
    rng: np.random.Generator,
    kind: int,
    centre: tuple[float, float],
    density: Array,
    instances: NDArray[np.int32],
    number: int,
) -> bool:
    """Draw one nucleus into density and instances, in place, where no other is; tells whether any pixel is left."""
    reach = int(2 * RADIUS) + 2
    top, left = (max(0, int(value) - reach) for value in centre)
    window = np.s_[top : int(centre[0]) + reach + 1, left : int(centre[1]) + reach + 1]
    rows, columns = np.mgrid[window][:, : density[window].shape[0], : density[window].shape[1]]
    angle, size = rng.uniform(0, 2 * np.pi), RADIUS * rng.uniform(0.9, 1.1)
    y, x = (rows - centre[0]) / size, (columns - centre[1]) / size
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    depth, chromatin = _SHAPES[kind](along, across)
    # Edges one pixel wide: depth is in radii.
    cover = np.clip(depth * size + 0.5, 0, 1) * (instances[window] == 0)
    mass = cover * chromatin
    if not (cover > 0.5).any():
        return False
    # Every nucleus holds about as much stain, so that the mean colour does not tell the kind.
    density[window] += mass * (0.62 * np.pi * RADIUS**2 * rng.uniform(0.8, 1.2) / max(mass.sum(), 0.3 * RADIUS**2))
    instances[window][cover > 0.5] = number
    return True


def _union(*depths: Array) -> Array:
    return np.maximum.reduce(depths)


def _disc(along: Array, across: Array, centre: tuple[float, float], radius: float) -> Array:
    return radius - np.hypot(along - centre[0], across - centre[1])


def _neutrophil(along: Array, across: Array) -> tuple[Array, Array]:
    turns = 2 * np.pi * np.arange(3) / 3
    lobes = [_disc(along, across, (0.62 * np.cos(turn), 0.62 * np.sin(turn)), 0.42) for turn in turns]
    return _union(*lobes, _disc(along, across, (0, 0), 0.26)), np.ones_like(along)


def _epithelial(along: Array, across: Array) -> tuple[Array, Array]:
    distance = np.hypot(along / 1.15, across / 0.95)
    rim = np.exp(-(((distance - 0.85) / 0.16) ** 2))
    nucleolus = np.exp(-((distance / 0.24) ** 2))
    return (1 - distance) * 0.95, 0.22 + rim + nucleolus


def _lymphocyte(along: Array, across: Array) -> tuple[Array, Array]:
    return _disc(along, across, (0, 0), 0.86), np.ones_like(along)


def _plasma(along: Array, across: Array) -> tuple[Array, Array]:
    spokes = 0.5 + 0.5 * np.cos(4 * np.arctan2(across, along))
    return _disc(along, across, (0, 0), 1.0), 0.15 + spokes * np.clip(np.hypot(along, across) * 2, 0, 1)


def _eosinophil(along: Array, across: Array) -> tuple[Array, Array]:
    lobes = [_disc(along, across, (sign * 0.58, 0), 0.5) for sign in (-1, 1)]
    return _union(*lobes), np.ones_like(along)


def _connective(along: Array, across: Array) -> tuple[Array, Array]:
    return (1 - np.hypot(along / 1.45, across / 0.5)) * 0.5, np.ones_like(along)


_SHAPES: tuple[Callable[[Array, Array], tuple[Array, Array]], ...] = (
    _neutrophil, _epithelial, _lymphocyte, _plasma, _eosinophil, _connective,
)


def _stain(rng: np.random.Generator, density: Array) -> Array:
    """Colours [H, W, 3] from the density of haematoxylin, with eosin between the nuclei; stains vary by image."""
    height, width = density.shape
    eosin = _EOSIN * rng.uniform(0.8, 1.2) * rng.normal(1, 0.06, 3)
    haematoxylin = _HAEMATOXYLIN * rng.uniform(0.8, 1.1) * rng.normal(1, 0.06, 3)
    fibres = 1 + 0.22 * _smooth_noise(rng, height, width, 14) + 0.10 * _smooth_noise(rng, height, width, 5)
    amount = density * (1 + 0.08 * _smooth_noise(rng, height, width, 4))
    optical = np.clip(fibres, 0.2, None)[..., None] * eosin + amount[..., None] * haematoxylin
    light = 0.97 + rng.normal(0, 0.01, 3) + 0.02 * _smooth_noise(rng, height, width, 48)[..., None]
    return np.clip(light * np.exp(-optical) + rng.normal(0, 0.012, (height, width, 3)), 0, 1)


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cell: int) -> Array:
    """Noise [H, W] of about unit variance that changes over ``cell`` pixels."""
    coarse = rng.normal(0, 1.2, (height // cell + 2, width // cell + 2)).astype(np.float32)
    fine = Image.fromarray(coarse).resize((coarse.shape[1] * cell, coarse.shape[0] * cell), Image.Resampling.BICUBIC)
    return np.asarray(fine, dtype=np.float64)[cell // 2 : cell // 2 + height, cell // 2 : cell // 2 + width]
