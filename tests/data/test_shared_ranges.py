"""Images of one kind in a person's own folder share the smallest range that holds the values of all."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from monai.bundle import ConfigParser
from PIL import Image
from pydicom import Dataset

from shared.data.folder import datalist, survey
from shared.data.slices import LoadSliced
from shared.errors import InputError
from shared.images import IntensityScaling
from shared.inference import LoadSourced
from tests.conftest import _write_dicom as write_dicom
from tests.images.dicom.dicom_files import enhanced_mr, save

TRAIN = Path(__file__).parents[2] / "bundles/gradprom_folder/configs/train.json"
RNG = np.random.default_rng(0)


def write_deep(path: Path, highest: int, lowest: int = 0, kind: type = np.uint16) -> np.ndarray:
    """Values that reach from ``lowest`` to ``highest``, as TIFF, PNG or DICOM."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = RNG.integers(lowest, highest, (20, 24)).astype(kind)
    values[0, :2] = lowest, highest
    if path.suffix == ".dcm":
        write_dicom(path, values, Modality=path.stem[:2])
    elif path.suffix == ".tif":
        tifffile.imwrite(path, values)
    else:
        Image.fromarray(values).save(path)
    return values


def loaded(root: Path, **rule: Any) -> dict[str, np.ndarray]:
    """What training sees of the images of a folder, by id."""
    scaling = IntensityScaling(**rule)
    contents = survey(root, scaling=scaling)
    load = pickle.loads(pickle.dumps(LoadSliced("label", scaling=scaling, ranges=contents.ranges)))
    return {one.id: load({"label": one.path, "slice": 0})["label"][0].numpy() for one in contents.references}


@pytest.mark.parametrize("suffix", ["png", "tif", "dcm"])
@pytest.mark.parametrize(("highest", "white", "words"), [
    (4095, 4095, "12 bits: 0 to 4095"), (1000, 1023, "10 bits: 0 to 1023"), (16000, 16383, "14 bits: 0 to 16383"),
])
def test_images_of_one_kind_share_the_range_of_all(
    tmp_path: Path, suffix: str, highest: int, white: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shared.data")
    stored = {f"US{n}": write_deep(tmp_path / f"US{n}.{suffix}", 200 if n == 1 else highest) for n in range(3)}
    for n in range(3):
        stored[f"eight{n}"] = write_deep(tmp_path / f"eight{n}.bmp", 90, kind=np.uint8)
    seen = loaded(tmp_path)
    for name, values in stored.items():
        np.testing.assert_allclose(seen[name], values / (255 if "eight" in name else white), rtol=0, atol=1e-6)
    contents = survey(tmp_path)
    kind = {"png": "PNG uint16", "tif": "TIFF uint16", "dcm": "DICOM US uint16"}[suffix]
    assert contents.intensity_ranges == {"BMP uint8": "8 bits: 0 to 255", kind: words}
    json.dumps(contents.intensity_ranges)
    lines = [record.getMessage() for record in caplog.records]
    bits = words.partition(" ")[0]
    assert lines[:2] == ["8 of 8 bits: BMP uint8, 3 file(s)", f"{bits} of 16 bits: {kind}, 3 file(s)"]
    caplog.clear()
    datalist(tmp_path, "training")
    assert len(caplog.records) == 1  # the sections of a run do not say it again


@pytest.mark.parametrize(("bits", "white"), [(None, 4095), (14, 16383)])
def test_bundle_learns_from_the_shared_range_and_notes_it(tmp_path: Path, bits: int | None, white: int) -> None:
    stored = {f"{n}": write_deep(tmp_path / f"{n}.png", 4095 if n else 900) for n in range(3)}
    parser = ConfigParser(ConfigParser.load_config_file(TRAIN))
    parser["dataset_dir"] = str(tmp_path)
    parser["intensity_scaling#bits"] = bits
    load = parser.get_parsed_content("train#load")
    for name, values in stored.items():
        image = load({"label": str(tmp_path / f"{name}.png"), "slice": 0})["label"]
        np.testing.assert_allclose(image[0], values / white, rtol=0, atol=1e-6)
    noted = {"PNG uint16": f"{bits or 12} bits: 0 to {white}"}
    assert parser.get_parsed_content("origin#intensity_ranges") == noted


def test_kinds_have_a_range_each(tmp_path: Path) -> None:
    """Two modalities, two types and colour: what one camera wrote does not darken what another did."""
    stored = {}
    for n in range(3):
        for name, highest in (("US.dcm", 1000), ("CR.dcm", 60000), ("c.tif", 4000), ("d.png", 500)):
            place = tmp_path / name.replace(".", f"{n}.")
            stored[place.stem] = (write_deep(place, highest), highest)
    bounds = {1000: 1023, 60000: 65535, 4000: 4095, 500: 1023}
    for name, image in loaded(tmp_path).items():
        values, highest = stored[name]
        np.testing.assert_allclose(image, values / bounds[highest], rtol=0, atol=1e-6)


def test_signed_values_share_their_zero(tmp_path: Path) -> None:
    stored = {f"US{n}": write_deep(tmp_path / f"US{n}.dcm", 900, -20 if n == 2 else 0, np.int16) for n in range(3)}
    for name, image in loaded(tmp_path).items():
        np.testing.assert_allclose(image, (stored[name] + 2048.0) / 4095, rtol=0, atol=1e-6)
    assert survey(tmp_path).intensity_ranges == {"DICOM US int16": "12 bits: -2048 to 2047"}


def test_bits_fix_the_range_and_an_image_beyond_is_named(tmp_path: Path) -> None:
    stored = {f"{n}": write_deep(tmp_path / f"{n}.png", 700) for n in range(3)}
    for name, image in loaded(tmp_path, bits=12).items():
        np.testing.assert_allclose(image, stored[name] / 4095, rtol=0, atol=1e-6)
    write_deep(tmp_path / "1.png", 5000)
    with pytest.raises(InputError, match=r"1\.png: bits: found 12, but values from 0 to 5000, expected 14"):
        survey(tmp_path, scaling=IntensityScaling(bits=12))


def test_window_and_real_rules_scale_each_image_by_itself(tmp_path: Path) -> None:
    for n in range(3):
        write_dicom(tmp_path / f"{n}.dcm", RNG.integers(0, 4000, (20, 24)).astype(np.uint16), Modality="CR",
                    WindowCenter=1000 + 100 * n, WindowWidth=800)
    for rule in ({"integer": "window"}, {"integer": "real"}):
        assert survey(tmp_path, scaling=IntensityScaling(**rule)).ranges == {}
        for name, image in loaded(tmp_path, **rule).items():
            whole = LoadSourced("image", IntensityScaling(**rule))({"image": str(tmp_path / f"{name}.dcm")})["image"]
            np.testing.assert_array_equal(image, whole.as_tensor().clamp(0, 1).numpy().reshape(image.shape))


def test_frames_of_two_kinds_have_a_scale_each(tmp_path: Path) -> None:
    """Magnitude and field map in one enhanced file: one scale for both would leave one of them flat."""
    pixels = np.concatenate([RNG.integers(0, 4000, (3, 20, 24)), RNG.integers(0, 60, (3, 20, 24))]).astype(np.uint16)
    dataset = enhanced_mr(pixels)
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        kind = Dataset()
        kind.FrameType = ["ORIGINAL", "PRIMARY", "M_FFE" if number < 3 else "B0 MAP", "NONE"]
        frame.MRImageFrameTypeSequence = [kind]
    path = str(save(dataset, tmp_path / "a.dcm"))
    whole = LoadSourced("image")({"image": path})["image"].as_tensor().clamp(0, 1)
    load = LoadSliced("label")
    for place in range(6):
        np.testing.assert_array_equal(load({"label": path, "slice": place})["label"], whole[..., place])
    assert min(float(whole[..., place].std()) for place in range(6)) > 0.2


def test_outliers_and_missing_values_are_those_of_inference(tmp_path: Path) -> None:
    volume = RNG.normal(100, 10, (20, 22, 6)).astype(np.float32)
    volume[3, 4, 2] = 1e6
    volume[:, :5] = np.nan
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "v.nii")
    rule = IntensityScaling("minmax")
    whole = LoadSourced("image", rule)({"image": str(tmp_path / "v.nii")})["image"].as_tensor()
    image = LoadSliced("label", scaling=rule)({"label": str(tmp_path / "v.nii"), "slice": 2})["label"]
    assert torch.equal(image, whole[..., 2].clamp(0, 1))
    assert image[0, :, 5:].std() > 0.1
