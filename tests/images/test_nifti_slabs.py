"""NIfTI volumes in slabs: nibabel's values on the way in, nibabel's bytes on the way out."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Extension

from shared import InputError
from shared.images.nifti import RGB24, read_nifti, write_nifti
from shared.images.nifti_slabs import SlabReader, SlabWriter
from shared.images.picture import SourceRecord
from tests.images.nifti_files import TILTED, noise, save_nifti

SHAPE = (7, 6, 5)


def colour(*shape: int) -> np.ndarray:
    stored = np.empty(shape, RGB24)
    for name in "RGB":
        stored[name] = noise(*shape)
    return stored


def stored_values(kind: str) -> np.ndarray:
    return {
        "int16": noise(*SHAPE, dtype="int16"),
        "float64": noise(*SHAPE, dtype="float64") / 7,
        "big endian": noise(*SHAPE, dtype="int32"),
        "RGB": colour(*SHAPE),
        "time series": noise(*SHAPE, 3, dtype="int16"),
        "one slice": noise(7, 6, 1, dtype="int16"),
    }[kind]


KINDS = ["int16", "float64", "big endian", "RGB", "time series", "one slice"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("along", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 2, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_slabs_are_the_volume(tmp_path: Path, kind: str, count: int, along: int, suffix: str) -> None:
    path = str(source_with_everything(tmp_path / f"a{suffix}", kind))
    whole, reader = read_nifti(path), SlabReader(path)
    assert (reader.channels, *reader.shape) == whole.pixels.shape
    assert reader.dtype == whole.pixels.dtype
    # A second pass begins anew.
    for _ in range(2):
        slabs = [list(reader.slabs(volume, count, along)) for volume in range(reader.volumes)]
        assert max(slab.shape[along + 1] for slab in slabs[0]) == min(count, reader.shape[along])
        volumes = [np.concatenate(parts, axis=along + 1) for parts in slabs]
        found = np.stack(volumes, axis=-1) if len(reader.shape) == 4 else volumes[0]
        np.testing.assert_array_equal(found, whole.pixels)
        assert found.dtype == whole.pixels.dtype
    picture = reader.empty_picture
    assert (picture.slope, picture.intercept, picture.bits) == (whole.slope, whole.intercept, whole.bits)
    np.testing.assert_array_equal(reader.affine, whole.affine)


def source_with_everything(path: Path, kind: str) -> Path:
    header = nibabel.Nifti1Header(endianness=">" if kind == "big endian" else "<")
    header.set_data_dtype(stored_values(kind).dtype)
    image = nibabel.Nifti1Image(stored_values(kind), TILTED, header)
    image.set_sform(TILTED, "mni")
    image.header["descrip"] = b"a scan"
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_slope_inter(0.25, -3)
    image.header.extensions.append(Nifti1Extension("comment", b"an extension of some length"))
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("factor", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_in_slabs_is_nibabels_to_the_byte(tmp_path: Path, kind: str, factor: int, suffix: str) -> None:
    source = source_with_everything(tmp_path / f"a{suffix}", kind)
    stored: Any = np.asanyarray(nibabel.Nifti1Image.from_filename(source).dataobj.get_unscaled())
    grown = stored.repeat(factor, 0).repeat(factor, 1)
    pixels = np.stack([grown[name] for name in "RGB"]) if kind == "RGB" else grown[None]
    record = SourceRecord(str(source), "", stored.shape, None, 2, 0, 1, 0, 1)
    write_nifti(str(tmp_path / f"whole{suffix}"), pixels, record)
    flat = grown.reshape(*grown.shape[:2], -1, order="F")
    with SlabWriter(str(tmp_path / f"slabs{suffix}"), str(source), grown.shape) as writer:
        for start in range(0, flat.shape[2], 2):
            writer.write(flat[..., start : start + 2])
    found, expected = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("slabs", "whole"))
    if suffix == ".nii.gz":
        found, expected = gzip.decompress(found), gzip.decompress(expected)
    assert found == expected


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_file(tmp_path: Path, suffix: str) -> None:
    path = save_nifti(tmp_path / f"a{suffix}", noise(60, 50, 20, dtype="int16"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"a{suffix}: cannot be read as an image: "):
        list(SlabReader(str(path)).slabs(0, 4))


def test_an_image_of_two_axes_is_no_volume(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", noise(6, 5))
    with pytest.raises(InputError, match=r"a\.nii: shape \(6, 5\), expected a volume"):
        SlabReader(str(path))
