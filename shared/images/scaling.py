"""The rule that maps the intensities of a source image to [0, 1] and back, saved with the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import InputError
from shared.images.layout import repeated
from shared.images.picture import Intensities, Picture, frames_of
from shared.images.value_statistics import PixelStatistics, Statistics, without_outliers

PROVENANCE_KEY = "intensity_scaling"
RULES = ("percentile", "minmax", "window", "bits")
INTEGER_RULES = ("bits", "window", "real")
DEPTHS = (8, 10, 12, 14, 16)
"""Numbers of bits that cameras, detectors and scanners use for a value."""

OVERSHOOT = 0.05
"""Part of its range by which resampled values leave it: splines go beyond black and white."""

MARGIN = 0.5
"""Part of [0, 1] by which a value may lie outside and still go through the network, by the other rules."""


@dataclass(frozen=True)
class IntensityScaling:
    """A linear map of stored intensities to [0, 1].

    Integer images whose range means something (PNG, JPEG, BMP, integer TIFF, RGB NIfTI, DICOM other than CT, MR, PET
    and NM) follow ``integer``:

    - ``"bits"``: 0 goes to 0 and the largest value of a depth to 1. The depth is the smallest of 8, 10, 12, 14 and 16
      bits that holds the maximum of the image, at most that of the file: what a file stores in 16 bits may well have
      been measured with 12. ``bits`` fixes it, so that images of one camera share one scale. Negative values need a
      signed depth, whose smallest value goes to 0;
    - ``"window"``: the file's own window (DICOM), where it has one, else as ``"bits"``;
    - ``"real"``: like all others.

    All others (NIfTI, float TIFF, DICOM in HU or arbitrary units) follow ``real``, over all voxels of the file:

    - ``"percentile"``: the ``lower`` percentile goes to 0, the ``upper`` one to 1. Where both are equal, the image's
      minimum and maximum are taken;
    - ``"minmax"``: minimum to 0, maximum to 1, of the image without its outliers. Usual are the values from the
      percentile 0.1 of all voxels, which is the background where there is one, to the percentile 99.9 of those that
      are brighter; an outlier is what lies outside by more than a tenth of that range, as a hot voxel does;
    - ``"window"``: ``lower`` to 0 and ``upper`` to 1, in the unit of the image (HU);
    - ``"bits"``: as above, in the unit of the image and without outliers; real values up to 1 stay as they are. A
      twentieth more is what resampling does to such values. Beyond 16 bits, and for real values below 0, as "minmax".

    A constant image goes to 0 everywhere. The network never sees an outlier of "minmax", nor, by the other rules, what
    lies further than 0.5 outside [0, 1]: such values are clipped for it, and come out as they went in.

    Attributes:
        real: one of "percentile", "minmax", "window", "bits".
        lower, upper: percentiles in [0, 100], or bounds of the window; unused by "minmax" and "bits".
        integer: one of "bits", "window", "real".
        bits: depth of integer images, 1 to 16, as far as their files have so many; None to find it for each.
    """

    real: str = "percentile"
    lower: float = 0.1
    upper: float = 99.9
    integer: str = "bits"
    bits: int | None = None

    def __post_init__(self) -> None:
        for name, known in (("real", RULES), ("integer", INTEGER_RULES)):
            if getattr(self, name) not in known:
                found = getattr(self, name)
                raise InputError(f"intensity_scaling: {name} is {found!r}, expected one of {', '.join(known)}")
        for name in ("lower", "upper"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                raise InputError(f"intensity_scaling: {name} is {value!r}, expected a finite number")
        if not self.lower < self.upper:
            raise InputError(f"intensity_scaling: lower {self.lower} is not below upper {self.upper}")
        if self.real == "percentile" and not (self.lower >= 0 and self.upper <= 100):
            raise InputError(f"intensity_scaling: percentiles {self.lower}, {self.upper} are not in [0, 100]")
        if self.bits is not None and (type(self.bits) is not int or not 1 <= self.bits <= 16):
            raise InputError(f"bits: found {self.bits!r}, expected a whole number from 1 to 16, or null")

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
        """Stored values of ``picture`` that go to 0 and to 1; equal for a constant image. See :meth:`measure`."""
        found = self.measure(picture, statistics)
        return found.black, found.white

    def measure(self, picture: Picture, statistics: Statistics | None = None) -> Intensities:
        """Find the intensities of an image whose frames are of one kind.

        Args:
            picture: the image.
            statistics: of an image whose pixels are not in memory; ``picture.pixels`` then only tells their type.

        Raises:
            InputError: a value needs more bits than the rule's ``bits``.
        """
        statistics = statistics or PixelStatistics(_present(picture))
        lowest, highest = statistics.range()
        if self._goes_by_range(picture):
            low, high, bits = self._integer_bounds(picture, lowest, highest)
            swap = picture.inverted
        else:
            swap = picture.inverted != (picture.slope < 0)
            low, high, bits = self._real_bounds(picture, statistics, swap)
        black, white = (high, low) if swap else (low, high)
        margin = 0.0 if self.real == "minmax" and not self._goes_by_range(picture) else MARGIN * (high - low)
        if low < high:
            lowest, highest = max(lowest, low - margin), min(highest, high + margin)
        return Intensities(black, white, lowest, highest, bits)

    def measure_parts(self, picture: Picture) -> tuple[Intensities, ...]:
        """Find the intensities of each kind of frames of an image, by the numbers in its ``parts``."""
        if not picture.parts:
            return (self.measure(picture),)
        return tuple(self.measure(frames_of(picture, part)) for part in range(max(picture.parts) + 1))

    def describe(self, picture: Picture, found: Intensities) -> str:
        """What :meth:`measure` found, in words, in the unit of the image: ``12 bits: 0 to 4095``."""
        if found.bits is not None:
            rule = f"{found.bits} bits"
        elif self._goes_by_range(picture):
            rule = "the file's window"
        else:
            names = {"percentile": f"percentiles {self.lower:g} and {self.upper:g}", "bits": "as stored"}
            rule = names.get(self.real, self.real)
        slope, intercept = (1.0, 0.0) if self._goes_by_range(picture) else (picture.slope, picture.intercept)
        black, white = (stored * slope + intercept for stored in (found.black, found.white))
        return f"{rule}: {black:.6g} to {white:.6g}"

    def _goes_by_range(self, picture: Picture) -> bool:
        return picture.bits is not None and self.integer != "real"

    def _integer_bounds(self, picture: Picture, lowest: float, highest: float) -> tuple[float, float, int | None]:
        if self.integer == "window" and picture.window is not None:
            return (*picture.window, None)
        return self._depth(lowest, highest, picture.bits or max(DEPTHS))

    def _depth(self, lowest: float, highest: float, largest: int) -> tuple[float, float, int]:
        """Bounds and number of the bits that hold a range; never more than ``largest`` unless they are fixed."""
        is_signed = lowest < 0
        needed = next((bits for bits in DEPTHS if _holds(bits, lowest, highest)), max(DEPTHS))
        bits = min(needed if self.bits is None else self.bits, largest)
        if self.bits is not None and not _holds(bits, lowest, highest):
            raise InputError(f"bits: found {bits}, but values from {lowest:g} to {highest:g}, expected {needed}")
        black = -(2 ** (bits - 1)) if is_signed else 0
        return float(black), float(black + 2**bits - 1), bits

    def _real_bounds(
        self, picture: Picture, statistics: Statistics, inverted: bool
    ) -> tuple[float, float, int | None]:
        if self.real == "window":
            ends = [(bound - picture.intercept) / picture.slope for bound in (self.lower, self.upper)]
            return min(ends), max(ends), None
        if self.real == "bits":
            return self._unit_bounds(picture, without_outliers(statistics, inverted))
        if self.real == "percentile":
            # In a small image one hot voxel would have a part in an interpolated percentile.
            is_small = min(self.lower, 100 - self.upper) / 100 * (statistics.count - 1) < 1
            find = statistics.inner_percentiles if is_small else statistics.percentiles
            lower, upper = find(self.lower, self.upper)
            return (lower, upper, None) if lower < upper else (*statistics.range(), None)
        return (*without_outliers(statistics, inverted), None)

    def _unit_bounds(self, picture: Picture, usual: tuple[float, float]) -> tuple[float, float, int | None]:
        """Bounds by the depth that the usual values use in the unit of the image; these themselves if there is none."""
        low, high = sorted(value * picture.slope + picture.intercept for value in usual)
        is_real = picture.pixels.dtype.kind == "f"
        if low >= -OVERSHOOT * high:
            low = max(low, 0.0)
        high_enough = high / (1 + OVERSHOOT)
        if low >= 0 and high_enough <= 1 and (is_real or (picture.slope, picture.intercept) != (1, 0)):
            found: tuple[float, float, int | None] = (0.0, 1.0, None)
        elif (low < 0 and is_real) or not _holds(max(DEPTHS), low, high_enough):
            return (*usual, None)
        else:
            found = self._depth(low, high_enough, max(DEPTHS))
        ends = [(bound - picture.intercept) / picture.slope for bound in found[:2]]
        return min(ends), max(ends), found[2]


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


def by_parts(
    pixels: NDArray, parts: tuple[int, ...], intensities: tuple[Intensities, ...], map_one: Callable[..., NDArray]
) -> NDArray:
    """Apply ``map_one(pixels, intensities)`` to all frames of each kind, which lie along the last axis."""
    if not parts:
        return map_one(pixels, intensities[0])
    kinds = np.array(parts)
    mapped: NDArray | None = None
    for part, found in enumerate(intensities):
        result = map_one(pixels[..., kinds == part], found)
        mapped = np.empty(pixels.shape, result.dtype) if mapped is None else mapped
        mapped[..., kinds == part] = result
    return pixels if mapped is None else mapped


def scaled(pixels: NDArray, found: Intensities) -> NDArray[np.float32]:
    """What the network sees of stored values: scaled, and clipped to the range that it is meant for."""
    values = scale(pixels, found.black, found.white)
    if found.black == found.white:
        return values
    ends = ((end - found.black) / (found.white - found.black) for end in (found.lowest, found.highest))
    return values.clip(*sorted(ends), out=values)


def restored(values: NDArray, found: Intensities, source: NDArray) -> NDArray:
    """Stored values of an enhanced image; what the network was not shown comes from the source.

    Args:
        values: around [0, 1].
        found: intensities of the source.
        source: its stored values, of the same shape.
    """
    stored = unscale(values, found.black, found.white, found.lowest, found.highest, source.dtype)
    put_back(stored, outside(source, found), source)
    return stored


def put_back(stored: NDArray, kept: NDArray[np.bool_], source: NDArray) -> None:
    """Give some stored values of an enhanced image back what the source has there.

    Args:
        stored: changed in place; of the source's shape, or on a finer grid.
        kept: where, in the source's shape.
        source: the values.
    """
    if kept.any():
        grown = repeated(kept, stored.shape)
        stored[grown] = repeated(source, stored.shape)[grown]


def outside(pixels: NDArray, found: Intensities) -> NDArray[np.bool_]:
    """Which stored values the network is not shown as they are."""
    return (pixels < found.lowest) | (pixels > found.highest)


def _present(picture: Picture) -> NDArray:
    return picture.pixels if picture.missing is None else picture.pixels[~picture.missing]


def _holds(bits: int, lowest: float, highest: float) -> bool:
    half = 2 ** (bits - 1)
    return -half <= lowest and highest < half if lowest < 0 else highest < 2**bits
