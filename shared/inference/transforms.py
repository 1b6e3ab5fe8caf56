"""MONAI dictionary transforms around the enhancement network: load and scale, restore, save."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, SaveImaged
from numpy.typing import NDArray

from shared.errors import InputError
from shared.images.attribution import Producer
from shared.images.dicom.reading import read_time_series
from shared.images.format_table import require_output_format
from shared.images.formats import Source, output_name, read_picture, write_picture
from shared.images.guard import suspicious_change
from shared.images.layout import PLANES, from_slices, slice_axis, to_slices
from shared.images.picture import Intensities, Picture, SourceRecord
from shared.images.scaling import IntensityScaling, by_parts, outside, put_back, scaled, unscale
from shared.inference.label_requests import bad_request

logger = logging.getLogger(__name__)

RECORD_SUFFIX = "_record"
SCALE_WITH = "scale_with"
NOTES_SUFFIX = "_notes"


class LoadSourced(MapTransform):
    """Load an image file of any supported format, or a DICOM series, as slices in [0, 1] for a 2-D network.

    ``data[key]``, the path of a file, that of a folder with one DICOM series, or the list of a series' files, becomes a
    float32 MetaTensor [C, H, W], or [C, H, W, S] for a volume cut into S slices; its meta holds ``filename_or_obj``,
    ``spatial_shape`` and ``affine`` of the source. ``data[key + "_record"]`` becomes the string that
    :class:`RestoreSourced` needs. The files under the key ``scale_with``, which a time series has, are those whose
    values decide about the scale; the key is taken out.

    Args:
        keys: keys of the sources.
        scaling: rule that maps stored intensities to [0, 1]; None for the default rule.
        plane: plane of the slices of a volume, "axial", "coronal" or "sagittal", by the anatomical axes. DICOM is
            enhanced in the plane in which it was acquired, whatever this says.
        transpose: give the network slices [C, Y, X] in place of [C, X, Y], for files with an affine matrix alone: for
            a network that learned from images the way they are shown.
        allow_missing_keys: do not raise when a key is missing.

    Raises:
        InputError: ``plane`` is unknown, or a file cannot be read.
    """

    def __init__(
        self,
        keys: KeysCollection,
        scaling: IntensityScaling | None = None,
        plane: str = "axial",
        transpose: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if plane not in PLANES:
            raise InputError(f"plane: found {plane!r}, expected one of {', '.join(PLANES)}")
        self.scaling = scaling if scaling is not None else IntensityScaling()
        self.plane = plane
        self.transpose = transpose
        self._series: dict[tuple[tuple[str, ...], float, float], Intensities] = {}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load the files of all keys."""
        loaded = dict(data)
        for key in self.key_iterator(loaded):
            given: Source = loaded[key]
            with bad_request(loaded):
                picture = read_picture(given)
                record = self._record(given, picture, loaded.pop(SCALE_WITH, ()))
            pixels = by_parts(picture.pixels, record.parts, record.intensities, scaled)
            slices = to_slices(pixels, picture.affine, record.slice_axis)
            if record.transposed:
                slices = slices.swapaxes(1, 2)
            affine = (
                torch.eye(4, dtype=torch.float64)
                if picture.affine is None
                else torch.as_tensor(picture.affine)
            )
            meta = {"filename_or_obj": record.source, "spatial_shape": np.array(record.shape)}
            loaded[key] = MetaTensor(torch.from_numpy(np.ascontiguousarray(slices)), affine=affine, meta=meta)
            loaded[f"{key}{RECORD_SUFFIX}"] = record.to_json()
        return loaded

    def _measure(self, picture: Picture, series: Sequence[str]) -> tuple[Intensities, ...]:
        if not series or picture.parts:
            return self.scaling.measure_parts(picture)
        # Each of its volumes asks for the same; the files are read once.
        key = (tuple(series), picture.slope, picture.intercept)
        if key not in self._series:
            self._series[key] = self.scaling.measure(read_time_series(series, picture))
        return (self._series[key],)

    def _record(self, given: Source, picture: Picture, series: Sequence[str]) -> SourceRecord:
        source = str(given) if isinstance(given, str | os.PathLike) else picture.files[0]
        shape = picture.pixels.shape[1:]
        try:
            first, *others = self._measure(picture, series)
        except InputError as err:
            raise InputError(f"{source}: {err}") from err
        beyond = by_parts(picture.pixels, picture.parts, (first, *others), outside)
        words = [self.scaling.describe(picture, found) for found in (first, *others)]
        record = SourceRecord(
            source=source,
            dtype=picture.pixels.dtype.name,
            shape=shape,
            affine=None if picture.affine is None else picture.affine.tolist(),
            slice_axis=slice_axis(shape, picture.affine, self.plane, picture.acquired_axis),
            black=first.black,
            white=first.white,
            lowest=first.lowest,
            highest=first.highest,
            transposed=self.transpose and picture.affine is not None,
            files=picture.files,
            bits=first.bits,
            parts=picture.parts,
            others=tuple(others),
            kept=int(beyond.sum()) + (0 if picture.missing is None else int(picture.missing.sum())),
            scaling="; ".join(dict.fromkeys(words)),
            modality=picture.modality,
            notes=picture.notes,
        )
        logger.info("%s: scaled by %s", source, record.scaling)
        for note in record.notes:
            logger.warning("%s: %s", source, note)
        return record


class RestoreSourced(MapTransform):
    """Give an enhanced image the layout, intensities and type of its source.

    ``data[key]``, a tensor [C, H, W] or [C, H, W, S] with values around [0, 1], becomes a NumPy array of stored
    values [C, *shape of the source], clipped to the range that the network was shown, rounded for integer types. What
    lies beyond that range, and what is missing (NaN), is as it was. ``data[key + "_notes"]`` becomes a list of what a
    person should be told about the result (:func:`~shared.images.guard.suspicious_change`), mostly empty.

    Args:
        keys: keys of the enhanced images.
        orig_keys: keys under which :class:`LoadSourced` loaded their sources.
        allow_missing_keys: do not raise when a key is missing.
    """

    def __init__(
        self, keys: KeysCollection, orig_keys: KeysCollection = "image", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.orig_keys = [orig_keys] * len(self.keys) if isinstance(orig_keys, str) else list(orig_keys)  # type: ignore

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Restore the images of all keys."""
        restored = dict(data)
        for key, orig_key in self.key_iterator(restored, self.orig_keys):
            record = SourceRecord.from_json(restored[f"{orig_key}{RECORD_SUFFIX}"])
            values = torch.as_tensor(restored[key]).detach().cpu().float().numpy()
            if not np.isfinite(values).all():
                raise InputError(f"{record.source}: the network gave values that are not finite")
            change = suspicious_change(restored.get(orig_key), values)
            restored[f"{key}{NOTES_SUFFIX}"] = [] if change is None else [change]
            if change is not None:
                logger.warning("%s: %s", record.source, change)
            affine = None if record.affine is None else np.array(record.affine)
            if record.transposed:
                values = values.swapaxes(1, 2)
            restored[key] = _stored(from_slices(values, record.shape, affine, record.slice_axis), record)
        return restored


def _stored(values: NDArray, record: SourceRecord) -> NDArray:
    """Stored values of an enhanced image in the layout of its source."""
    dtype = np.dtype(record.dtype)
    stored = by_parts(values, record.parts, record.intensities, lambda part, found: unscale(
        part, found.black, found.white, found.lowest, found.highest, dtype
    ))
    if not record.kept:
        return stored
    # Read again: an image with outliers or gaps is a rare one, and a copy of each would take memory for all.
    source = read_picture(record.files or record.source)
    beyond = by_parts(source.pixels, record.parts, record.intensities, outside)
    put_back(stored, beyond, source.pixels)
    if source.missing is not None:
        put_back(stored, source.missing, np.broadcast_to(np.nan, source.missing.shape))
    return stored


class SaveEnhancedd(SaveImaged):
    """Write restored images, each whole or not at all, with the header of its source.

    What is written, and how it is called, say :func:`write_picture` and :func:`find_images`.

    It is a ``SaveImaged`` so that programs that write a bundle's result themselves, as MONAI Label does, recognise
    and leave it out; nothing of MONAI's writing is used.

    Args:
        keys: keys of the restored images, arrays [C, ...] as :class:`RestoreSourced` makes them.
        output_dir: folder for items without ``output_key``.
        orig_keys: key under which :class:`LoadSourced` loaded the source.
        output_key: key of the path to write to, as :func:`find_images` sets it.
        output_format: "same", "dicom", "nifti" or "png".
        producer: what enhanced the images and in which run, for DICOM; None for a nameless one.

    Raises:
        InputError: ``output_format`` is unknown.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str = ".",
        orig_keys: str = "image",
        output_key: str = "output",
        output_format: str = "same",
        producer: Producer | None = None,
    ) -> None:
        super().__init__(keys, output_dir=output_dir, print_log=False)
        require_output_format(output_format)
        self.output_format = output_format
        # One for all images: files of one series stay together.
        self.producer = producer or Producer()
        self.output_dir = output_dir
        self.orig_key = orig_keys
        self.output_key = output_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the images of all keys."""
        saved = dict(data)
        record = SourceRecord.from_json(saved[f"{self.orig_key}{RECORD_SUFFIX}"])
        for key in self.key_iterator(saved):
            path = saved.get(self.output_key)
            if not path:
                name = output_name(record.files or record.source, self.output_format)
                path = str(Path(self.output_dir) / name)
            write_picture(path, saved[key], record, self.output_format, self.producer)
        return saved
