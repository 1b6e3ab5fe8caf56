"""Images and DICOM files made on the spot, and the inference path with a network of the test's choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from torch import nn

from shared.images import IntensityScaling, Producer
from shared.inference import (
    EnhancementInferer,
    InferenceProgress,
    LoadSourced,
    RestoreSourced,
    SaveEnhancedd,
    find_images,
)

FIRST = ("tests/test_style.py::test_checker_is_content[mypy]", "tests/bundles/test_parallel.py")
"""What takes longest in one piece: at the end it would keep the other of pytest's workers waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests; the others keep their order."""
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


def _enhance(
    input: Path,
    output_dir: Path,
    network: nn.Module | None = None,
    channels: int = 1,
    scaling: IntensityScaling | None = None,
    plane: str = "axial",
    transpose: bool = False,
    output_format: str = "same",
    **options: Any,
) -> list[str]:
    """What inference.json does, with the identity where no network is given; returns the results' paths."""
    items = find_images(str(input), str(output_dir), output_format)
    dataset = Dataset(items, LoadSourced("image", scaling, plane, transpose))
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(dataset, batch_size=1),
        network=network or nn.Identity(),
        inferer=EnhancementInferer(channels, **options),
        postprocessing=Compose(
            [
                RestoreSourced("pred"),
                SaveEnhancedd(
                    "pred", str(output_dir), output_format=output_format, producer=Producer("A bundle", "1.2.3")
                ),
            ]
        ),
        val_handlers=[InferenceProgress(str(output_dir))],
    )
    evaluator.run()
    return [item["output"] for item in items]


@pytest.fixture(name="enhance")
def enhance_fixture() -> Callable[..., list[str]]:
    return _enhance


def _write_dicom(path: Path, pixels: np.ndarray, bits: int | None = None, **attributes: Any) -> Path:
    """An uncompressed DICOM file; [H, W], or [S, H, W] for frames, or [H, W, 3] with SamplesPerPixel 3."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    for name, value in attributes.items():
        setattr(dataset, name, value)
    colour = dataset.SamplesPerPixel == 3
    dataset.Rows, dataset.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    if pixels.ndim == 3 and not colour:
        dataset.NumberOfFrames = len(pixels)
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(name="write_dicom")
def write_dicom_fixture() -> Callable[..., Path]:
    return _write_dicom
