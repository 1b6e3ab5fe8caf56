from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch

from shared.data.loading import LoadUnitImaged, image_size, read_image, read_mask
from shared.errors import InputError
from shared.images import IntensityScaling

BITS = IntensityScaling("bits")
"""The rule of the CAMUS bundle."""
HEIGHT, WIDTH = 31, 37
GREY = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)


def write(path: Path, plane: np.ndarray, axes: int = 0, compress: bool = False) -> Path:
    """Write [H, W] in the order of the format, with further axes of length 1."""
    if path.name.endswith((".mhd", ".mha")):
        stack = plane.reshape((1,) * axes + plane.shape)
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(stack), str(path), useCompression=compress)
        return path
    image = nibabel.Nifti1Image(plane.T.reshape(plane.T.shape + (1,) * axes), np.eye(4))
    nibabel.save(image, path)
    return path


NAMES = ["a.nii", "a.nii.gz", "a.mhd", "a.mha", "A.NII.GZ"]


@pytest.mark.parametrize("axes", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_all_formats_give_the_same_picture(tmp_path: Path, name: str, axes: int) -> None:
    path = write(tmp_path / name, GREY, axes)
    for channels in (1, 3):
        image = read_image(path, channels, scaling=BITS)
        assert image.dtype == torch.float32
        assert image.shape == (channels, HEIGHT, WIDTH)
        np.testing.assert_allclose(image.numpy(), np.stack([GREY / 255] * channels), rtol=0, atol=1e-7)
    assert image_size(path) == (HEIGHT, WIDTH)
    labels = write(tmp_path / f"labels_{name}", GREY % 4, axes)
    assert torch.equal(read_mask(labels, "index")[0], torch.from_numpy(GREY % 4).float())


def test_compressed_meta_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mhd", GREY, compress=True)
    assert (tmp_path / "a.zraw").is_file()
    np.testing.assert_allclose(read_image(path, 1, scaling=BITS)[0].numpy(), GREY / 255, rtol=0, atol=1e-7)


RANGES: dict[str, tuple[np.ndarray, float]] = {
    "8 bits": (GREY // 2, 255),
    "8 bits stored as int16": (GREY.astype(np.int16), 255),
    "8 bits stored as uint16": (GREY.astype(np.uint16), 255),
    "8 bits stored as double": (GREY.astype(np.float64), 255),
    "16 bits": (GREY.astype(np.uint16) * 257, 65535),
    "12 bits stored as int16": (GREY.astype(np.int16) * 16, 4095),
    "int32 of 16 bits": (GREY.astype(np.int32) * 200, 65535),
    "9 bits stored as float": (GREY.astype(np.float32) * 2, 1023),
    "unit range": (GREY.astype(np.float32) / 256, 1),
}


@pytest.mark.parametrize("case", RANGES)
@pytest.mark.parametrize("name", ["a.nii.gz", "a.mhd"])
def test_stored_values_tell_the_range(tmp_path: Path, case: str, name: str) -> None:
    values, divisor = RANGES[case]
    result = read_image(write(tmp_path / name, values), 1, scaling=BITS)
    np.testing.assert_allclose(result[0].numpy(), values / divisor, rtol=1e-6, atol=0)


def test_slope_of_the_header_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    stored = nibabel.Nifti1Image(GREY.T, np.eye(4))
    stored.header.set_slope_inter(1 / 512, 0)
    nibabel.save(stored, path)
    np.testing.assert_allclose(read_image(path, 1, scaling=BITS)[0].numpy(), GREY / 512, rtol=1e-6, atol=0)


def test_missing_values_are_padding(tmp_path: Path) -> None:
    values = np.where(GREY > 200, np.nan, GREY).astype(np.float32)
    image = read_image(write(tmp_path / "a.nii.gz", values), 1, scaling=BITS)[0]
    np.testing.assert_allclose(image.numpy(), np.nan_to_num(values, nan=GREY.min()) / 255, rtol=0, atol=1e-6)
    with pytest.raises(InputError, match=r"b\.nii: 1 of 1147 values are infinite"):
        read_image(write(tmp_path / "b.nii", np.where(np.arange(GREY.size).reshape(GREY.shape) == 5, np.inf, GREY)))


def test_a_mask_may_say_that_it_is_one_an_image_may_not(tmp_path: Path) -> None:
    labels = nibabel.Nifti1Image((GREY % 4).T, np.eye(4))
    labels.header.set_intent("label")
    nibabel.save(labels, tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(read_mask(tmp_path / "labels.nii.gz", "index")[0], GREY % 4)
    with pytest.raises(InputError, match=r"labels\.nii\.gz: a label map .*expected an image"):
        read_image(tmp_path / "labels.nii.gz")


@pytest.mark.parametrize("values", [GREY / 256, GREY.astype(np.int16) - 1, GREY.astype(np.int16) + 200])
def test_label_maps_hold_small_whole_numbers(tmp_path: Path, values: np.ndarray) -> None:
    path = write(tmp_path / "a_gt.nii.gz", values)
    with pytest.raises(InputError, match="a_gt.nii.gz.*expected whole numbers from 0 to 255"):
        read_mask(path, "index")


def test_one_class_of_a_label_map_and_binary_masks(tmp_path: Path) -> None:
    labels = np.arange(4, dtype=np.uint8)[None].repeat(2, 0)
    path = write(tmp_path / "labels.nii.gz", labels)
    for value in range(4):
        assert read_mask(path, "index", only=value)[0, 0].tolist() == [float(k == value) for k in range(4)]
    with pytest.raises(InputError, match=r"labels.nii.gz' holds labels \[0, 1, 2, 3\].*'index'"):
        read_mask(path)
    for value in (1, 3, 255):
        binary = write(tmp_path / f"binary{value}.nii.gz", (labels > 1) * np.uint8(value))
        assert read_mask(binary)[0, 0].tolist() == [0, 0, 1, 1]


def test_transform_resizes_image_and_takes_one_class_of_the_mask(tmp_path: Path) -> None:
    plane = np.repeat(np.repeat(np.array([[0, 50], [100, 250]], np.uint8), 20, 0), 30, 1)
    item = {
        "label": str(write(tmp_path / "a.nii.gz", plane)),
        "mask": str(write(tmp_path / "a_gt.mha", plane // 50 % 4)),
    }
    load = LoadUnitImaged(channels=1, mask_kind="index", mask_class=1, size=(8, 12), scaling=BITS)
    result = load(item)
    assert result["label"].shape == result["mask"].shape == (1, 8, 12)
    corners = result["label"][0, [0, 0, -1, -1], [0, -1, 0, -1]] * 255
    np.testing.assert_allclose(corners.numpy(), [0, 50, 100, 250], atol=1e-4)
    # 50 // 50 = 1 and 250 // 50 % 4 = 1, 100 // 50 = 2.
    assert result["mask"][0, [0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 1, 0, 1]
    other = {**item, "mask": str(write(tmp_path / "b_gt.nii.gz", plane.T // 50))}
    with pytest.raises(InputError, match="b_gt.nii.gz' is 40x60 pixels, but its image .* is 60x40"):
        load(other)
    with pytest.raises(InputError, match="mask_class 1 needs mask kind 'index'"):
        LoadUnitImaged(mask_class=1)


def halve(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated": (halve, "cannot be read"),
    "text": (lambda path: path.write_text("<html>not found</html>"), "cannot be read as an image"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read as an image"),
    "missing": (lambda path: path.unlink(), "no such file|File cannot be read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mhd", "a.mha"])
def test_bad_files_are_named(tmp_path: Path, damage: str, name: str) -> None:
    path = write(tmp_path / name, GREY)
    act, message = DAMAGES[damage]
    act(path)
    for read in (read_image, read_mask):
        with pytest.raises(InputError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_truncated_in_the_middle_of_the_gzip_stream(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz", np.kron(GREY, np.ones((8, 8), np.uint8)))
    data = path.read_bytes()
    path.write_bytes(data[:-200])
    with pytest.raises(InputError, match="a.nii.gz: cannot be read"):
        read_image(path)


@pytest.mark.parametrize(("damage", "message"), [
    (halve, "a.mhd: the pixels cannot be read"), (Path.unlink, "a.mhd: its data file .*a.raw does not exist"),
])
def test_data_file_of_a_meta_image(tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    path = write(tmp_path / "a.mhd", GREY)
    damage(tmp_path / "a.raw")
    with pytest.raises(InputError, match=message):
        read_image(path)


def test_volumes_are_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 4, 3), np.uint8), np.eye(4)), tmp_path / "a.nii.gz")
    for read in (read_image, image_size):
        with pytest.raises(InputError, match=r"a\.nii\.gz: (holds 3 slices|has the shape \(5, 4, 3\)), expected one 2"):
            read(tmp_path / "a.nii.gz")
