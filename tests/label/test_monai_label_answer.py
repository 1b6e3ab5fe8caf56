"""The answer to MONAI Label, through a model of what it does; test_label_server.py asks the real one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from fastapi import HTTPException
from monai.transforms import Transform
from PIL import Image

from shared import InputError
from shared.images import Producer
from shared.inference import AnswerMONAILabeld, LoadSourced, RestoreSourced, SaveEnhancedd
from tests.label.monai_label_fakes import enhance, request, write
from tests.label.sources import write_sources

NAMES = ("grey.png", "rgb.png", "deep.png", "flat.nii", "volume.nii.gz", "scan.dcm")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    return write_sources(tmp_path / "sources")


@pytest.fixture(autouse=True)
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def postprocessing(output_dir: Path | str = ".") -> list[Transform]:
    """As in inference.json."""
    producer = Producer("GradProm on MNI152", "0.2.0")
    return [
        RestoreSourced("pred"),
        SaveEnhancedd("pred", str(output_dir), producer=producer),
        AnswerMONAILabeld("pred", producer=producer),
    ]


def answer(source: Path, scale: int = 1, **parameters: Any) -> str:
    return write(enhance(request(str(source), **parameters), postprocessing(), scale))


def own_result(source: Path, output_dir: Path, scale: int = 1) -> Path:
    """What the bundle writes itself."""
    data = LoadSourced("image")({"image": str(source)})
    data["pred"] = data["image"].repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    for transform in postprocessing(output_dir):
        data = transform(data)
    assert isinstance(data["pred"], np.ndarray), "outside MONAI Label nothing is answered"
    (result,) = output_dir.iterdir()
    return result


def pixels_of(path: str | Path) -> np.ndarray:
    if str(path).endswith(".dcm"):
        return pydicom.dcmread(path).pixel_array
    if str(path).endswith((".nii", ".nii.gz")):
        return np.asanyarray(nibabel.Nifti1Image.from_filename(path).dataobj.get_unscaled())
    with Image.open(path) as image:
        return np.array(image)


@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_answer_is_what_the_bundle_writes(sources: Path, tmp_path: Path, answers: Path, name: str, scale: int) -> None:
    path = answer(sources / name, scale)
    assert [str(each) for each in answers.iterdir()] == [path], "one file, which MONAI Label removes"
    own = own_result(sources / name, tmp_path / "own", scale)
    assert path.endswith("".join(own.suffixes[-2:] if name.endswith(".gz") else own.suffixes[-1:]))
    found, expected = pixels_of(path), pixels_of(own)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)
    # Axes that grow are the first two of NIfTI and of a raster, [H, W] or [H, W, 3].
    before = pixels_of(sources / name).shape
    assert found.shape == (scale * before[0], scale * before[1], *before[2:])


def test_geometry_and_scaling_of_a_volume(sources: Path) -> None:
    source = nibabel.Nifti1Image.from_filename(sources / "volume.nii.gz")
    found = nibabel.Nifti1Image.from_filename(answer(sources / "volume.nii.gz"))
    np.testing.assert_array_equal(found.affine, source.affine)
    assert found.get_data_dtype() == source.get_data_dtype() == np.int16
    assert (found.dataobj.slope, found.dataobj.inter) == (0.5, 10)


def test_orientation_of_a_raster(sources: Path) -> None:
    """The identity: a picture neither lies on its side nor is mirrored."""
    for name in ("grey.png", "rgb.png", "deep.png"):
        np.testing.assert_array_equal(pixels_of(answer(sources / name)), pixels_of(sources / name))


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize("name", ["volume.nii.gz", "scan.dcm"])
def test_volume_on_request(sources: Path, name: str, extension: str) -> None:
    """Slicer asks for .nrrd and for uint8, which is about label maps."""
    path = answer(sources / name, result_extension=extension, result_dtype="uint8", result_compress=False)
    assert path.endswith(extension)
    found, expected = SimpleITK.ReadImage(path), SimpleITK.ReadImage(str(sources / name))
    np.testing.assert_allclose(found.GetOrigin(), expected.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(found.GetDirection(), expected.GetDirection(), atol=1e-4)
    # Across a single DICOM slice, the reader knows no spacing.
    axes = 2 if name == "scan.dcm" else 3
    np.testing.assert_allclose(found.GetSpacing()[:axes], expected.GetSpacing()[:axes], rtol=1e-5)
    # Intensities may be rescaled or stored, but mean the same.
    np.testing.assert_allclose(
        SimpleITK.GetArrayFromImage(found), SimpleITK.GetArrayFromImage(expected), rtol=1e-5, atol=0.51
    )


@pytest.mark.parametrize("size", [(6, 5, 4), (6, 5, 4, 3)], ids=["volume", "time series"])
def test_gaps_stay_gaps_in_nrrd(tmp_path: Path, answers: Path, size: tuple[int, ...]) -> None:
    """ITK reads the missing values of a NIfTI file as 0."""
    values = np.random.default_rng(0).normal(100, 20, size).astype(np.float32)
    values[1, 2, 3] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-2.0, -2.0, 3.0, 1.0])), tmp_path / "gaps.nii.gz")
    answered = SimpleITK.ReadImage(answer(tmp_path / "gaps.nii.gz", result_extension=".nrrd"))
    found = SimpleITK.GetArrayFromImage(answered).transpose()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    np.testing.assert_allclose(found, values, rtol=1e-4)
    assert answered.GetSpacing()[:3] == pytest.approx((2, 2, 3))


def test_picture_as_volume(sources: Path) -> None:
    found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(answer(sources / "rgb.png", result_extension=".nrrd")))
    assert sorted(np.squeeze(found).shape) == sorted(pixels_of(sources / "rgb.png").shape)


def test_series_is_answered_as_a_volume(sources: Path) -> None:
    path = answer(sources / "series")
    assert path.endswith(".nii.gz")
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(sources / "series")))
    expected = reader.Execute()
    found = SimpleITK.ReadImage(path)
    assert found.GetSize() == expected.GetSize()
    np.testing.assert_allclose(found.GetSpacing(), expected.GetSpacing(), rtol=1e-5)


def test_no_two_dicom_answers_have_one_uid(sources: Path) -> None:
    """MONAI Label keeps the transforms from one request to the next."""
    transforms = postprocessing()
    first, second = (
        pydicom.dcmread(write(enhance(request(str(sources / "scan.dcm")), transforms))) for _ in range(2)
    )
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert first.StudyInstanceUID == second.StudyInstanceUID


def test_unknown_extension(sources: Path, answers: Path) -> None:
    with pytest.raises(HTTPException, match="result_extension: found '.jpg', expected one of .nii, .nii.gz, .nrrd"):
        answer(sources / "grey.png", result_extension=".jpg")
    assert list(answers.iterdir()) == []


@pytest.mark.parametrize("extension", [None, ".nii.gz", ".nrrd"])
def test_failing_writer_leaves_nothing(
    sources: Path, answers: Path, monkeypatch: pytest.MonkeyPatch, extension: str | None
) -> None:
    def fail(path: str, *_: Any) -> None:
        Path(path).write_bytes(b"half")
        raise InputError(f"{path}: cannot be written: disk full")

    monkeypatch.setattr("shared.inference.monai_label.write_picture", fail)
    with pytest.raises(HTTPException, match="disk full") as caught:
        answer(sources / "grey.png", result_extension=extension)
    assert caught.value.status_code == 400
    assert list(answers.iterdir()) == []


def test_direction_that_nrrd_cannot_be_given(tmp_path: Path, answers: Path) -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.5
    path = tmp_path / "sheared.nii"
    nibabel.save(nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), sheared), path)
    with pytest.raises(HTTPException, match="sheared.nii: cannot be answered as .nrrd: .*orthonormal"):
        answer(path, result_extension=".nrrd")
    assert list(answers.iterdir()) == []
    answer(path)


def test_nothing_is_written_where_nobody_reads_it(sources: Path, answers: Path) -> None:
    """MONAI Label's scoring, for example, wants the array."""
    for skip in (True, "true"):
        data = request(str(sources / "grey.png"), skip_writer=skip)
        loaded = LoadSourced("image")(data)
        loaded["pred"] = loaded["image"]
        restored = RestoreSourced("pred")(loaded)
        assert AnswerMONAILabeld("pred")(restored).keys() == restored.keys()
    assert list(answers.iterdir()) == []


def test_message_reaches_the_client(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG no more")
    with pytest.raises(HTTPException, match="broken.png: cannot be read as an image") as caught:
        answer(path)
    assert caught.value.status_code == 400
    with pytest.raises(InputError, match="broken.png: cannot be read as an image"):
        LoadSourced("image")({"image": str(path)})


def test_image_that_is_not_in_the_data_store(monkeypatch: pytest.MonkeyPatch, sources: Path) -> None:
    """An empty path is no folder, although it names the working directory."""
    monkeypatch.chdir(sources / "series")
    with pytest.raises(HTTPException, match="image: found no image of this id"):
        LoadSourced("image")(request(""))


def test_data_are_not_changed_in_place(sources: Path) -> None:
    data = LoadSourced("image")(request(str(sources / "grey.png")))
    data["pred"] = data["image"]
    restored = RestoreSourced("pred")(data)
    before = dict(restored)
    AnswerMONAILabeld("pred")(restored)
    assert restored.keys() == before.keys()
    assert all(restored[key] is before[key] for key in before)
