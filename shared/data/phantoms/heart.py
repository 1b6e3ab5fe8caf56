"""Draw ultrasound-like pictures of a heart: a speckled fan with ventricles, heart muscle and atria.

The cavity of the left ventricle is dark, and so are the right ventricle, the atria, shadows and the gaps between
tissues; muscle and surroundings are alike. What tells the cavity is the muscle around it and the valve that closes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float64]

BACKGROUND, ENDOCARDIUM, MYOCARDIUM, ATRIUM = range(4)

#: Contrast of the tissues, number of shadows, and haze in the cavities, by image quality.
_QUALITY = {"Good": (1.0, 1, 0.05), "Medium": (0.85, 2, 0.10), "Poor": (0.72, 3, 0.16)}


@dataclass(frozen=True)
class Heart:
    """What the four frames of one patient share: lengths as fractions of the fan's depth, angles in radians."""

    length: float
    width: float
    wall: float
    atrium: float
    ejection: float
    gain: float
    seed: int


@dataclass(frozen=True)
class Probe:
    """Where one view looks from, the same at end diastole and end systole."""

    height: int
    width: int
    half_angle: float
    apex: tuple[float, float]
    tilt: float
    bend: float
    wobble: tuple[float, ...]
    right_ventricle: bool
    seed: int


def random_heart(rng: np.random.Generator) -> Heart:
    """Draw a patient's heart."""
    return Heart(
        length=float(rng.uniform(0.34, 0.52)),
        width=float(rng.uniform(0.19, 0.30)),
        wall=float(rng.uniform(0.065, 0.105)),
        atrium=float(rng.uniform(0.16, 0.30)),
        ejection=float(rng.uniform(0.25, 0.65)),
        gain=float(rng.uniform(0.85, 1.15)),
        seed=int(rng.integers(2**31)),
    )


def random_probe(rng: np.random.Generator, right_ventricle: bool) -> Probe:
    """Draw a view; the right ventricle lies beside the septum in the four-chamber view."""
    height = 8 * int(rng.integers(14, 21))
    return Probe(
        height=height,
        width=height - 8 * int(rng.integers(0, 3)),
        half_angle=float(rng.uniform(0.60, 0.72)),
        apex=(float(rng.uniform(0.14, 0.32)), float(rng.uniform(-0.15, 0.15))),
        tilt=float(rng.uniform(-0.35, 0.35)),
        bend=float(rng.uniform(-0.06, 0.06)),
        wobble=tuple(float(value) for value in rng.normal(0, 0.05, 4)),
        right_ventricle=right_ventricle,
        seed=int(rng.integers(2**31)),
    )


def draw(heart: Heart, probe: Probe, systole: bool, quality: str) -> tuple[Array, NDArray[np.uint8]]:
    """Draw one frame.

    Args:
        heart: the patient.
        probe: the view.
        systole: end systole, with a smaller cavity and a thicker wall, instead of end diastole.
        quality: "Good", "Medium" or "Poor": contrast, shadows and haze.

    Returns:
        Image [H, W] in [0, 1], black outside the fan, and label map [H, W]: 0 background, 1 cavity of the left
        ventricle, 2 its muscle, 3 left atrium.
    """
    rng = np.random.default_rng([heart.seed, probe.seed, systole])
    still = np.random.default_rng(probe.seed)
    depth, angle = _polar(probe)
    fan = (depth < 1) & (depth > 0.03) & (np.abs(angle) < probe.half_angle)
    labels, right = _anatomy(heart, probe, systole, depth, angle)
    labels[~fan] = BACKGROUND
    contrast, shadows, haze = _QUALITY[quality]

    dark = 0.16 + haze * np.exp(-depth / 0.35) + 0.05 * _smooth_noise(rng, depth.shape, 14)
    tissue = 0.42 + 0.13 * _smooth_noise(still, depth.shape, 16)
    holes = 1 / (1 + np.exp(6 * (_smooth_noise(still, depth.shape, 11) - 0.55)))
    muscle = 0.40 + 0.07 * _smooth_noise(still, depth.shape, 12)
    cavity = np.isin(labels, (ENDOCARDIUM, ATRIUM)) | right
    brightness = np.where(labels == MYOCARDIUM, muscle, dark + (tissue - dark) * holes)
    soft = gaussian_filter(cavity.astype(np.float64), 0.008 * probe.height)
    brightness += (dark - brightness) * soft
    brightness = 0.30 + contrast * (brightness - 0.30)
    brightness *= heart.gain * _shadows(still, depth, angle, probe.half_angle, shadows)
    image = _speckle(rng, np.clip(brightness, 0.02, 1), depth)
    return np.where(fan, np.clip(image, 0, 1), 0.0), labels


def _polar(probe: Probe) -> tuple[Array, Array]:
    """Depth below the transducer as a fraction of the fan's, and angle from its axis, of each pixel."""
    rows, columns = np.mgrid[0 : probe.height, 0 : probe.width].astype(np.float64)
    y, x = rows + 0.5, columns + 0.5 - probe.width / 2
    return np.hypot(y, x) / (0.97 * probe.height), np.arctan2(x, y)


def _anatomy(
    heart: Heart, probe: Probe, systole: bool, depth: Array, angle: Array
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Labels, and the cavities of the right heart, which have none.

    u runs along the ventricle from its apex (0) to the valve (1), v across, both in lengths of the ventricle.
    """
    shrink = 1 - 0.5 * heart.ejection * systole
    length, width = heart.length * (1 - 0.15 * systole), heart.width * shrink
    wall = heart.wall * (1 + 0.4 * systole)
    y = depth * np.cos(angle) - probe.apex[0] - 0.15 * heart.length * systole
    x = depth * np.sin(angle) - probe.apex[1]
    u = (y * np.cos(probe.tilt) + x * np.sin(probe.tilt)) / length
    across = x * np.cos(probe.tilt) - y * np.sin(probe.tilt) - probe.bend * np.sin(np.pi * np.clip(u, 0, 1))

    side = np.where(across > 0, 1.0, -1.0)
    waves = sum(
        amplitude * np.sin((order // 2 + 1) * np.pi * u + side * (order % 2) * np.pi / 2)
        for order, amplitude in enumerate(probe.wobble)
    )
    valve = 1 + 0.10 * probe.wobble[0] / 0.05 * across / width
    labels = np.full(depth.shape, BACKGROUND, np.uint8)
    outside = _half_width(u * length + wall, length + wall, width / 2 + wall) * (1 + waves)
    labels[(np.abs(across) < outside) & (u < valve)] = MYOCARDIUM
    inside = _half_width(u * length, length, width / 2) * (1 + waves)
    labels[(np.abs(across) < inside) & (u < valve)] = ENDOCARDIUM

    # The leaflets are thin, and the atrium behind them is as dark as the ventricle.
    size = heart.atrium * (1 + 0.15 * systole)
    leaflets = 0.022 / length
    below = (u - valve - leaflets - 0.5 * size / length) * length / (0.5 * size)
    labels[(np.hypot(below, across / (0.42 * size + 0.25 * width)) < 1) & (u > valve + leaflets)] = ATRIUM

    right = np.zeros(depth.shape, np.bool_)
    if probe.right_ventricle:
        centre = -(width / 2 + wall + 0.02 + 0.055)
        ventricle = np.hypot((u - 0.62) / 0.42, (across - centre) / 0.065) < 1
        atrium = np.hypot((u - 1.35) * length / 0.13, (across - centre - 0.02) / 0.10) < 1
        right = (ventricle | atrium) & (labels == BACKGROUND)
    return labels, right


def _half_width(distance: Array, length: float, half: float) -> Array:
    """Half the width of a bullet at a distance from its tip: widest past the middle, a little narrower at the base."""
    t = np.clip(distance / length, 0, 1)
    profile = np.where(t < 0.6, np.sqrt(np.clip(1 - (1 - t / 0.6) ** 2, 0, 1)), 1 - 0.25 * ((t - 0.6) / 0.4) ** 2)
    return np.where(distance > 0, half * profile, -1.0)


def _shadows(rng: np.random.Generator, depth: Array, angle: Array, half_angle: float, count: int) -> Array:
    """Factors below 1 in narrow sectors behind ribs and lung, and a slow fall with depth."""
    factor = 1.12 - 0.25 * depth
    for _ in range(count):
        centre, reach = rng.uniform(-1, 1) * half_angle, rng.uniform(0.05, 0.12)
        begin = rng.uniform(0.0, 0.5)
        sector = np.exp(-(((angle - centre) / reach) ** 4)) / (1 + np.exp(-(depth - begin) / 0.03))
        factor = factor * (1 - rng.uniform(0.4, 0.65) * sector)
    return factor


def _speckle(rng: np.random.Generator, brightness: Array, depth: Array) -> Array:
    """Fully developed speckle, compressed: the brightness times a power of a Rayleigh variable of mean 1.

    The grains are wider than high, and wider the deeper, as a transducer's beam makes them.
    """
    fine, wide = (
        np.hypot(*(gaussian_filter(rng.normal(size=depth.shape), sigma) for _ in range(2)))
        for sigma in ((0.6, 0.9), (0.8, 1.8))
    )
    share = np.clip(depth, 0, 1)
    envelope = (1 - share) * fine / fine.mean() + share * wide / wide.mean()
    return brightness * envelope**0.7


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], cell: float) -> Array:
    """Noise [H, W] of unit variance that changes over ``cell`` pixels."""
    noise = gaussian_filter(rng.normal(size=shape), cell / 2, mode="wrap")
    return np.asarray(noise / noise.std())
