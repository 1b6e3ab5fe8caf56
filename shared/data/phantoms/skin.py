"""Draw dermoscopy-like images: skin, hairs, and a lesion whose class lies in its fine structure alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

Array = NDArray[np.float64]

#: Kinds of structure; colour, contrast, size and outline of a lesion do not depend on the kind.
STRUCTURES = ("network", "streaks", "globules")


@dataclass(frozen=True)
class Lesion:
    """What several images of one lesion share."""

    structure: str
    skin: Array
    pigment: Array
    outline: Array
    contrast: float
    seed: int


def random_lesion(rng: np.random.Generator, structure: str) -> Lesion:
    """Draw a lesion; only ``structure`` depends on the class."""
    return Lesion(
        structure=structure,
        skin=np.array([0.86, 0.70, 0.60]) + rng.normal(0, 0.04) + rng.normal(0, 0.025, 3),
        pigment=np.array([0.55, 0.40, 0.32]) + rng.normal(0, 0.04) + rng.normal(0, 0.025, 3),
        outline=rng.normal(0, 1, (2, 5)) * np.array([0.10, 0.07, 0.05, 0.03, 0.02]),
        contrast=float(rng.uniform(0.38, 0.46)),
        seed=int(rng.integers(2**31)),
    )


def draw(lesion: Lesion, rng: np.random.Generator, height: int, width: int) -> tuple[Array, NDArray[np.bool_]]:
    """Draw one view of a lesion: turned, shifted and lit at random, with hairs.

    Returns:
        Image [H, W, 3] in [0, 1] and lesion mask [H, W].
    """
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    centre = np.array([height, width]) * (0.5 + rng.uniform(-0.05, 0.05, 2))
    angle = rng.uniform(0, 2 * np.pi)
    size = 0.44 * np.array([height, width]) * rng.uniform(0.9, 1.15)
    y, x = (rows - centre[0]) / size[0], (columns - centre[1]) / size[1]
    turns = np.linspace(-np.pi, np.pi, 257)
    harmonics = np.arange(2, 7)[:, None] * (turns + angle)
    edge = 1 + lesion.outline[0] @ np.cos(harmonics) + lesion.outline[1] @ np.sin(harmonics)
    inside = np.interp(np.arctan2(y, x), turns, edge) - np.hypot(y, x)
    mask = inside > 0

    # The lattice has about 4.5 cells along the shorter side, so a cell survives resizing to 64 pixels and denoising.
    spacing = min(height, width) / rng.uniform(3.8, 4.8)
    texture = _structure(lesion.structure, rows, columns, angle, spacing, np.random.default_rng(lesion.seed))
    texture = _standardise(texture, mask)

    opacity = 1 / (1 + np.exp(-inside * 14))
    colour = lesion.skin + opacity[..., None] * (lesion.pigment - lesion.skin)
    colour *= 1 + lesion.contrast * (opacity * texture)[..., None]
    mottle = 0.02 * _smooth_noise(rng, height, width, cell=12)
    slope = rng.uniform(-0.12, 0.12, 2)
    light = 1 + slope[0] * (rows / height - 0.5) + slope[1] * (columns / width - 0.5) + mottle
    colour *= light[..., None]
    _draw_hairs(colour, rng)
    colour += rng.normal(0, 0.012, colour.shape)
    return np.clip(colour, 0, 1), mask


def _structure(kind: str, rows: Array, columns: Array, angle: float, spacing: float, rng: np.random.Generator) -> Array:
    """The structure as a height map [H, W], dark where low; its scale is the ``spacing`` of lines or dots in pixels."""
    height, width = rows.shape
    # Bends of a fifth of a cell keep streaks from being straight and the lattice from being regular.
    y = rows + 0.2 * spacing * _smooth_noise(rng, height, width, cell=32)
    x = columns + 0.2 * spacing * _smooth_noise(rng, height, width, cell=32)
    across = y * np.cos(angle) - x * np.sin(angle)
    along = y * np.sin(angle) + x * np.cos(angle)
    if kind == "streaks":
        return np.cos(2 * np.pi * across / spacing + rng.uniform(0, 2 * np.pi))
    reach = int(np.hypot(height, width) / spacing) + 4
    grid_y, grid_x = np.mgrid[-reach:reach, -reach:reach].astype(np.float64)
    grid_x += 0.5 * (grid_y % 2)
    points = np.stack([grid_y.ravel() * np.sqrt(0.75), grid_x.ravel()], -1)
    points = (points + rng.normal(0, 0.10, points.shape)) * spacing * 1.15
    distance, _ = cKDTree(points).query(np.stack([across, along], -1), k=2)
    if kind == "network":
        return -np.exp(-(((distance[..., 1] - distance[..., 0]) / (0.35 * spacing)) ** 2))
    return -np.exp(-((distance[..., 0] / (0.38 * spacing)) ** 2))


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cell: int) -> Array:
    """Noise [H, W] of about unit variance that changes over ``cell`` pixels."""
    coarse = rng.normal(0, 1.2, (height // cell + 2, width // cell + 2)).astype(np.float32)
    fine = Image.fromarray(coarse).resize((coarse.shape[1] * cell, coarse.shape[0] * cell), Image.Resampling.BICUBIC)
    return np.asarray(fine, dtype=np.float64)[cell : cell + height, cell : cell + width]


def _standardise(texture: Array, mask: NDArray[np.bool_]) -> Array:
    """Give the structure inside the mask mean 0 and standard deviation 1, so that neither tells the class."""
    inside = texture[mask]
    return np.asarray((texture - inside.mean()) / inside.std())


def _draw_hairs(colour: Array, rng: np.random.Generator) -> None:
    """Darken a few thin curved lines in place."""
    height, width, _ = colour.shape
    for _ in range(rng.integers(0, 5)):
        ends = rng.uniform(0, 1, (3, 2)) * [height - 1, width - 1]
        t = np.linspace(0, 1, 3 * (height + width))[:, None]
        curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
        line = np.zeros((height, width))
        line[curve[:, 0].round().astype(int), curve[:, 1].round().astype(int)] = 1
        colour *= 1 - 0.55 * np.clip(gaussian_filter(line, 0.5) * 1.6, 0, 1)[..., None]
