"""MONAI dictionary transforms around the enhancement network: load and scale, restore, save."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, SaveImaged

from shared.errors import InputError
from shared.inference.bad_request import bad_request
from shared.inference.format_table import require_output_format
from shared.inference.formats import Source, output_name, read_picture, write_picture
from shared.inference.layout import PLANES, from_slices, slice_axis, to_slices
from shared.inference.picture import SourceRecord
from shared.inference.producer import Producer
from shared.inference.scaling import IntensityScaling, scale, unscale

RECORD_SUFFIX = "_record"


class LoadSourced(MapTransform):
    """Load an image file of any supported format, or a DICOM series, as slices in [0, 1] for a 2-D network.

    ``data[key]``, the path of a file, that of a folder with one DICOM series, or the list of a series' files, becomes a
    float32 MetaTensor [C, H, W], or [C, H, W, S] for a volume cut into S slices; its meta holds ``filename_or_obj``,
    ``spatial_shape`` and ``affine`` of the source. ``data[key + "_record"]`` becomes the string that
    :class:`RestoreSourced` needs.

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

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load the files of all keys."""
        loaded = dict(data)
        for key in self.key_iterator(loaded):
            given: Source = loaded[key]
            with bad_request(loaded):
                picture = read_picture(given)
            source = str(given) if isinstance(given, str | os.PathLike) else picture.files[0]
            pixels = picture.pixels
            shape = pixels.shape[1:]
            black, white = self.scaling.bounds(picture)
            axis = slice_axis(shape, picture.affine, self.plane, picture.acquired_axis)
            record = SourceRecord(
                source=source,
                dtype=pixels.dtype.name,
                shape=shape,
                affine=None if picture.affine is None else picture.affine.tolist(),
                slice_axis=axis,
                black=black,
                white=white,
                lowest=float(pixels.min()),
                highest=float(pixels.max()),
                transposed=self.transpose and picture.affine is not None,
                files=picture.files,
            )
            slices = to_slices(scale(pixels, black, white), picture.affine, axis)
            if record.transposed:
                slices = slices.swapaxes(1, 2)
            affine = (
                torch.eye(4, dtype=torch.float64)
                if picture.affine is None
                else torch.as_tensor(picture.affine)
            )
            meta = {"filename_or_obj": source, "spatial_shape": np.array(shape)}
            loaded[key] = MetaTensor(torch.from_numpy(np.ascontiguousarray(slices)), affine=affine, meta=meta)
            loaded[f"{key}{RECORD_SUFFIX}"] = record.to_json()
        return loaded


class RestoreSourced(MapTransform):
    """Give an enhanced image the layout, intensities and type of its source.

    ``data[key]``, a tensor [C, H, W] or [C, H, W, S] with values around [0, 1], becomes a NumPy array of stored
    values [C, *shape of the source], clipped to the range of the source, rounded for integer types.

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
            affine = None if record.affine is None else np.array(record.affine)
            if record.transposed:
                values = values.swapaxes(1, 2)
            pixels = from_slices(values, record.shape, affine, record.slice_axis)
            restored[key] = unscale(
                pixels, record.black, record.white, record.lowest, record.highest, np.dtype(record.dtype)
            )
        return restored


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
