"""Folders of images, good and bad, and the command in this process."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image
from pydicom.data import get_testdata_file

from shared import bundle_root
from shared.enhance.__main__ import main

BUNDLE = "gradprom_mni152"
Rows = dict[str, dict[str, str]]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def read_rows(path: Path) -> Rows:
    """The rows of a report by their file."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["file"] for row in rows}) == len(rows), "one row per image"
    return {row["file"]: row for row in rows}


@pytest.fixture(name="rows_of")
def rows_of_fixture() -> Callable[[Path], Rows]:
    return read_rows


def write_slice(path: Path, **attributes: object) -> None:
    """A CT slice of 26 x 30 pixels."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    dataset.PixelData = np.ascontiguousarray(dataset.pixel_array[:30, :26]).tobytes()
    dataset.Rows, dataset.Columns = 30, 26
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Good images: 8 bit, of odd size, in colour, a volume, a DICOM file."""
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(noise(20, 24)).save(folder / "a.png")
    Image.fromarray(noise(37, 31)).save(folder / "odd.png")
    Image.fromarray(noise(16, 12, 3)).save(folder / "sub" / "colour.jpg")
    nibabel.save(nibabel.Nifti1Image(noise(12, 14, 3).astype(np.float32), np.diag([1, 2, 3, 1])), folder / "v.nii.gz")
    write_slice(folder / "ct.dcm")
    return folder


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Three slices of one CT volume."""
    folder = tmp_path / "series"
    folder.mkdir()
    for number in range(3):
        place = {"ImagePositionPatient": [0, 0, 5 * number], "InstanceNumber": number + 1}
        write_slice(folder / f"{number}.dcm", SOPInstanceUID=pydicom.uid.generate_uid(), **place)
    return folder


@pytest.fixture
def pngs(tmp_path: Path) -> Path:
    """Four small images with little noise, which keep their contrast."""
    folder = tmp_path / "pngs"
    folder.mkdir()
    for number in range(4):
        ramp = np.linspace(20, 200, 10 + number, dtype=np.uint8)
        Image.fromarray(ramp + noise(12, 10 + number) // 16).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def make_bad() -> Callable[[Path], list[str]]:
    """Put bad images of all kinds into a folder; returns their names."""

    def make(folder: Path) -> list[str]:
        (folder / "no_image.png").write_bytes(b"nothing of the kind")
        (folder / "empty.nii.gz").write_bytes(b"")
        whole = (folder / "a.png").read_bytes()
        (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
        volume = np.ones((8, 8, 2), np.float32)
        volume[0, 0, 0] = np.inf
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "infinite.nii")
        dataset = pydicom.dcmread(folder / "ct.dcm")
        del dataset.PixelData
        dataset.SOPInstanceUID = dataset.SeriesInstanceUID = pydicom.uid.generate_uid()
        dataset.save_as(folder / "no_pixels.dcm")
        return ["cut.png", "empty.nii.gz", "infinite.nii", "no_image.png", "no_pixels.dcm"]

    return make


@pytest.fixture
def enhance(tmp_path: Path) -> Callable[..., int]:
    """The command for files and folders, into ``tmp_path/clean``; returns the exit code."""

    def run(
        source: Path | list[Path], *options: object, output: Path = tmp_path / "clean", bundle: str = BUNDLE
    ) -> int:
        sources = source if isinstance(source, list) else [source]
        words = ["--bundle", bundle, "--input", *sources, "--output", output, "--device", "cpu", *options]
        return main([str(word) for word in words])

    return run


@pytest.fixture(scope="session")
def weights_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """A file of random weights that fits a bundle's network."""

    def make(bundle: str) -> str:
        parser = ConfigParser(ConfigParser.load_config_file(str(Path(bundle_root(bundle)) / "configs/inference.json")))
        parser["ckpt_path"] = "nowhere/model.pt"
        torch.manual_seed(0)
        path = tmp_path_factory.mktemp("weights") / "model.pt"
        torch.save(parser.get_parsed_content("network_def").state_dict(), path)
        return str(path)

    return make
