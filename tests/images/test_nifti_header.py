"""What NIfTI headers say about space: zeros, shears, planes and quaternions that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from torch import nn

from shared.images import check_picture, read_picture
from tests.images.nifti_files import TILTED, noise

Enhance = Callable[..., list[str]]
ZERO = {"srow_x": [0] * 4, "srow_y": [0] * 4, "srow_z": [0] * 4}
SHEARED = {"srow_x": [2, 1.2, 0, 5], "srow_y": [0, 2, 0.5, -7], "srow_z": [0.3, 0, 3, 1]}
SPACE = ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d")
KEPT = "enhanced in the order in which it is stored, geometry kept"


def write(path: Path, values: np.ndarray, **fields: Any) -> Path:
    """A file with the fields of its header as they are given, which nibabel would put in order."""
    volume = nibabel.Nifti1Image(values, np.diag([2, 2.5, 3, 1.0]))
    volume.header.set_xyzt_units("mm", "sec")
    header = nibabel.Nifti1Header(volume.header.binaryblock, check=False)
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = 352, 1, 0
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + b"\0" * 4 + values.tobytes("F"))
    return path


def fields_of(path: str | Path) -> dict[str, Any]:
    header = nibabel.Nifti1Header(Path(path).read_bytes()[:348], check=False)
    return {name: header[name].tolist() for name in (*SPACE, "qoffset_x", "qoffset_y", "qoffset_z", "pixdim")}


CASES: dict[str, tuple[dict[str, Any], str | None]] = {
    "zero": ({"sform_code": 1, **ZERO}, f"the sform of the header is zero; {KEPT}"),
    "zero beside a qform": (
        {"sform_code": 1, "qform_code": 1, "quatern_b": 0.1, **ZERO},
        "the sform of the header is zero; the qform is used",
    ),
    "one plane": (
        {"sform_code": 1, "srow_x": [1, 1, 0, 0], "srow_y": [2, 2, 0, 0], "srow_z": [0, 0, 3, 0]},
        f"the sform of the header is singular; {KEPT}",
    ),
    "no through-plane axis": (
        {"sform_code": 1, "srow_x": [1, 0, 0, 0], "srow_y": [0, 1, 0, 0], "srow_z": [0, 0, 0, 0]},
        f"the sform of the header is singular; {KEPT}",
    ),
    "not finite": (
        {"sform_code": 1, "srow_x": [np.nan] * 4},
        f"the sform of the header holds values that are not finite; {KEPT}",
    ),
    "not finite beside a qform": (
        {"sform_code": 2, "qform_code": 1, "srow_x": [np.inf] * 4},
        "the sform of the header holds values that are not finite; the qform is used",
    ),
    "quaternion not finite": (
        {"qform_code": 1, "sform_code": 0, "quatern_c": np.nan},
        f"the qform of the header holds values that are not finite; {KEPT}",
    ),
    "sheared": ({"sform_code": 1, **SHEARED}, None),
    "sheared beside a qform": ({"sform_code": 1, "qform_code": 2, "quatern_b": 0.2, **SHEARED}, None),
    "quaternion longer by rounding": ({"qform_code": 1, "sform_code": 0, "quatern_b": 1.000001}, None),
    "quaternion much too long": (
        {"qform_code": 1, "sform_code": 0, "quatern_b": 0.9, "quatern_c": 0.9},
        "the quaternion of the header has the length 1.273, taken for a half turn",
    ),
    "bad quaternion beside an sform": ({"sform_code": 1, "qform_code": 1, "quatern_b": 0.9, "quatern_c": 0.9}, None),
    "no code": ({"sform_code": 0, "qform_code": 0}, None),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("factor", [1, 2])
def test_image_is_enhanced_and_its_geometry_kept(tmp_path: Path, enhance: Enhance, name: str, factor: int) -> None:
    fields, note = CASES[name]
    values = noise(6, 8, 5, dtype="int16")
    source = write(tmp_path / "a.nii", values, **fields)
    check_picture(str(source))
    picture = read_picture(str(source))
    assert picture.notes == (() if note is None else (note,))
    assert picture.affine is not None
    assert abs(np.linalg.det(picture.affine)) > 1
    (output,) = enhance(source, tmp_path / "out", network=nn.Upsample(scale_factor=factor), roi_size=64)
    before, after = fields_of(source), fields_of(output)
    assert {field: after[field] for field in SPACE[:2]} == {field: before[field] for field in SPACE[:2]}
    if factor == 1:
        np.testing.assert_equal(after, before)
        np.testing.assert_array_equal(raw(output), values)
        return
    assert after["quatern_b"] == before["quatern_b"]
    in_plane = [axis for axis, (new, old) in enumerate(zip(shape_of(output), values.shape, strict=True)) if new != old]
    assert len(in_plane) == 2
    for axis in range(3):
        half = axis in in_plane
        assert after["pixdim"][1 + axis] == pytest.approx(before["pixdim"][1 + axis] / (2 if half else 1))


def raw(path: str | Path) -> np.ndarray:
    content = Path(path).read_bytes()
    return np.frombuffer(content[352:], "<i2").reshape(shape_of(path), order="F")


def shape_of(path: str | Path) -> tuple[int, ...]:
    return nibabel.Nifti1Header(Path(path).read_bytes()[:348], check=False).get_data_shape()


@pytest.mark.parametrize("name", ["sheared", "sheared beside a qform"])
def test_enlarged_shear_covers_the_same_space(tmp_path: Path, enhance: Enhance, name: str) -> None:
    source = write(tmp_path / "a.nii", noise(6, 8, 5, dtype="int16"), **CASES[name][0])
    (output,) = enhance(source, tmp_path / "out", network=nn.Upsample(scale_factor=2), roi_size=64)
    old, new = nibabel.Nifti1Image.from_filename(source), nibabel.Nifti1Image.from_filename(output)
    for get in ("get_sform", "get_qform"):
        matrices = [getattr(each, get)(coded=True) for each in (old, new)]
        assert matrices[0][1] == matrices[1][1]
        if matrices[0][0] is None:
            continue
        for corner in np.ndindex(2, 2, 2):
            # From the outer corner of the first voxel to that of the last.
            places = [
                matrix @ [*(np.array(corner) * each.shape - 0.5), 1]
                for (matrix, _), each in zip(matrices, (old, new), strict=True)
            ]
            np.testing.assert_allclose(places[0], places[1], atol=1e-4)


def test_a_half_turn_is_that_of_another_reader(tmp_path: Path) -> None:
    """The reference implementation, which ITK has, takes such a quaternion so."""
    for name in ("quaternion longer by rounding", "quaternion much too long"):
        source = write(tmp_path / "a.nii", noise(6, 8, 5, dtype="int16"), **CASES[name][0])
        expected = SimpleITK.ReadImage(str(source))
        axes = np.array(expected.GetDirection()).reshape(3, 3) * expected.GetSpacing()
        affine = read_picture(str(source)).affine
        assert affine is not None
        np.testing.assert_allclose(affine[:3, :3], np.diag([-1, -1, 1]) @ axes, atol=1e-5)


@pytest.mark.parametrize("output_format", ["png", "dicom"])
@pytest.mark.parametrize("name", ["zero", "one plane", "not finite", "quaternion much too long"])
def test_unusable_geometry_can_be_written_otherwise(
    tmp_path: Path, enhance: Enhance, name: str, output_format: str
) -> None:
    source = write(tmp_path / "a.nii", noise(6, 8, 5, dtype="int16"), **CASES[name][0])
    (output,) = enhance(source, tmp_path / "out", output_format=output_format)
    assert len(list(Path(output).iterdir())) == 5


def test_unusable_geometry_gives_the_slices_as_stored(tmp_path: Path) -> None:
    """And not those of a flipped or turned volume."""
    values = noise(6, 8, 5, dtype="int16")
    source = write(tmp_path / "a.nii", values, **CASES["zero"][0])
    affine = read_picture(str(source)).affine
    np.testing.assert_allclose(affine, np.diag([2, 2.5, 3, 1]))


def test_sound_geometry_has_no_note(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(noise(4, 5, 6), TILTED), tmp_path / "a.nii.gz")
    picture = read_picture(str(tmp_path / "a.nii.gz"))
    np.testing.assert_allclose(picture.affine, TILTED, atol=1e-5)
    assert picture.notes == ()
    plane = nibabel.Nifti1Image(noise(7, 5), np.diag([0.3, 0.3, 1, 1]))
    nibabel.save(plane, tmp_path / "plane.nii")
    assert read_picture(str(tmp_path / "plane.nii")).notes == ()


@pytest.mark.parametrize(
    ("plane", "acquired", "are_others"), [("axial", 2, False), ("axial", 0, True), ("sagittal", 2, True)]
)
def test_timing_of_slices_goes_where_there_are_more_of_them(
    tmp_path: Path, enhance: Enhance, plane: str, acquired: int, are_others: bool
) -> None:
    timing = {"slice_start": 0, "slice_end": 3, "slice_code": 1, "slice_duration": 0.5}
    path = write(tmp_path / "a.nii", noise(4, 4, 4), **timing)
    header = nibabel.Nifti1Header(path.read_bytes()[:348])
    header.set_dim_info(slice=acquired)
    path.write_bytes(header.binaryblock + path.read_bytes()[348:])
    (output,) = enhance(path, tmp_path / "out", network=nn.Upsample(scale_factor=4), plane=plane)
    found = nibabel.Nifti1Image.from_filename(output).header
    assert {name: found[name] for name in timing} == (dict.fromkeys(timing, 0) if are_others else timing)
    assert found.get_dim_info()[2] == acquired
