"""The rule that maps the intensities of a source image to [0, 1] and back, saved with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared import provenance
from shared.errors import InputError
from shared.inference.picture import Picture

PROVENANCE_KEY = "intensity_scaling"
RULES = ("percentile", "minmax", "window")


class Statistics(Protocol):
    """What a rule may ask about the stored values of an image."""

    def range(self) -> tuple[float, float]:
        """Smallest and largest value."""

    def percentiles(self, lower: float, upper: float) -> tuple[float, float]:
        """Two percentiles, as ``numpy.percentile`` gives them."""


@dataclass(frozen=True)
class PixelStatistics:
    """Statistics of values in memory."""

    pixels: NDArray

    def range(self) -> tuple[float, float]:
        """Smallest and largest value."""
        return float(self.pixels.min()), float(self.pixels.max())

    def percentiles(self, lower: float, upper: float) -> tuple[float, float]:
        """Two percentiles."""
        low, high = np.percentile(self.pixels, (lower, upper))
        return float(low), float(high)


@dataclass(frozen=True)
class IntensityScaling:
    """A linear map of stored intensities to [0, 1].

    Integer images whose range means something (PNG, JPEG, BMP, integer TIFF, RGB NIfTI, DICOM other than CT, MR, PET
    and NM) are divided by the largest value of their bit depth: 255, 65535, 2^BitsStored - 1. All others (NIfTI,
    float TIFF, DICOM in HU or arbitrary units) follow ``real``, over all voxels of the file:

    - ``"percentile"``: the ``lower`` percentile goes to 0, the ``upper`` one to 1; values beyond stay beyond.
      Where both are equal, the image's minimum and maximum are taken;
    - ``"minmax"``: minimum to 0, maximum to 1;
    - ``"window"``: ``lower`` to 0 and ``upper`` to 1, in the unit of the image (HU).

    A constant image goes to 0 everywhere. Nothing is clipped on the way in.

    Attributes:
        real: one of "percentile", "minmax", "window".
        lower, upper: percentiles in [0, 100], or bounds of the window; unused by "minmax".
    """

    real: str = "percentile"
    lower: float = 0.1
    upper: float = 99.9

    def __post_init__(self) -> None:
        if self.real not in RULES:
            raise InputError(f"intensity_scaling: real is {self.real!r}, expected one of {', '.join(RULES)}")
        for name in ("lower", "upper"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                raise InputError(f"intensity_scaling: {name} is {value!r}, expected a finite number")
        if not self.lower < self.upper:
            raise InputError(f"intensity_scaling: lower {self.lower} is not below upper {self.upper}")
        if self.real == "percentile" and not (self.lower >= 0 and self.upper <= 100):
            raise InputError(f"intensity_scaling: percentiles {self.lower}, {self.upper} are not in [0, 100]")

    def to_dict(self) -> dict[str, Any]:
        """The rule as JSON can hold it; training writes it to provenance.json under ``intensity_scaling``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, rule: Mapping[str, Any]) -> IntensityScaling:
        """The rule that :meth:`to_dict` wrote.

        Raises:
            InputError: ``rule`` is not a mapping, has unknown keys or bad values.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(rule, Mapping) or set(rule) - set(names):
            raise InputError(
                f"intensity_scaling: found {rule!r}, expected a dict with the keys {', '.join(names)}"
            )
        return cls(**rule)

    def bounds(self, picture: Picture, statistics: Statistics | None = None) -> tuple[float, float]:
        """Stored values of ``picture`` that go to 0 and to 1; equal for a constant image.

        Args:
            picture: the image.
            statistics: of an image whose pixels are not in memory; ``picture.pixels`` then only tells their type.
        """
        black, white = self._bounds(picture, statistics or PixelStatistics(picture.pixels))
        swap = picture.inverted != (picture.bits is None and picture.slope < 0)
        return (white, black) if swap else (black, white)

    def _bounds(self, picture: Picture, statistics: Statistics) -> tuple[float, float]:
        if picture.bits is not None:
            signed = np.issubdtype(picture.pixels.dtype, np.signedinteger)
            lowest = -(2 ** (picture.bits - 1)) if signed else 0
            return float(lowest), float(lowest + 2**picture.bits - 1)
        if self.real == "window":
            ends = [(bound - picture.intercept) / picture.slope for bound in (self.lower, self.upper)]
            return min(ends), max(ends)
        if self.real == "percentile":
            lower, upper = statistics.percentiles(self.lower, self.upper)
            if lower < upper:
                return lower, upper
        return statistics.range()


def scale(pixels: NDArray, black: float, white: float) -> NDArray[np.float32]:
    """Map stored values linearly: ``black`` to 0, ``white`` to 1; everything to 0 when the two are equal."""
    span = white - black
    if span == 0:
        return np.zeros(pixels.shape, np.float32)
    # float32 holds 16-bit values exactly; wider types lose digits unless the difference is taken in float64.
    wide: Any = pixels.astype(np.float32 if pixels.dtype.itemsize <= 2 else np.float64)
    return ((wide - black) / span).astype(np.float32, copy=False)


def unscale(
    values: NDArray, black: float, white: float, lowest: float, highest: float, dtype: np.dtype
) -> NDArray:
    """Invert :func:`scale`, clip to [lowest, highest], round for an integer ``dtype``."""
    stored = np.clip(values.astype(np.float64) * (white - black) + black, lowest, highest)
    return (np.rint(stored) if np.issubdtype(dtype, np.integer) else stored).astype(dtype)


def load_scaling(ckpt_path: str, default: IntensityScaling | None = None) -> IntensityScaling:
    """The rule in provenance.json beside the weights, else ``default``.

    Args:
        ckpt_path: path of the enhancement network's weights; its folder may hold provenance.json.
        default: rule of the bundle's configuration; None for percentiles 0.1 and 99.9.

    Raises:
        InputError: provenance.json is no JSON object or its ``intensity_scaling`` is malformed.
    """
    rule = provenance.setting(ckpt_path, PROVENANCE_KEY, None)
    if rule is None:
        return default if default is not None else IntensityScaling()
    try:
        return IntensityScaling.from_dict(rule)
    except InputError as err:
        raise InputError(f"{Path(ckpt_path).parent / provenance.FILE_NAME}: {err}") from err
