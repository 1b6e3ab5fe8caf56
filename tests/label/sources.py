"""Images of all kinds that a server is asked about; small, and written without the project's code."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.ndimage import gaussian_filter

RNG = np.random.default_rng(0)


def write_sources(folder: Path) -> Path:
    """Write grey, RGB and 16-bit PNG, 2-D and oblique 3-D NIfTI, one DICOM file and a DICOM series."""
    folder.mkdir(parents=True)
    Image.fromarray(_smooth((37, 31), 255, "uint8")).save(folder / "grey.png")
    Image.fromarray(_smooth((37, 31, 3), 255, "uint8")).save(folder / "rgb.png")
    Image.fromarray(_smooth((37, 31), 65535, "uint16")).save(folder / "deep.png")
    flat = _smooth((20, 14), 3, "float32")
    nibabel.save(nibabel.Nifti1Image(flat, np.diag([2.0, 2.0, 1.0, 1.0])), folder / "flat.nii")
    volume = nibabel.Nifti1Image(_smooth((20, 14, 5), 1200, "int16"), oblique())
    volume.header.set_slope_inter(0.5, 10)
    nibabel.save(volume, folder / "volume.nii.gz")
    _write_slice(folder / "scan.dcm", _smooth((24, 18), 1500, "int16"), 0, generate_uid())
    (folder / "series").mkdir()
    series, stack = generate_uid(), _smooth((3, 24, 18), 1500, "int16")
    for index, pixels in enumerate(stack):
        _write_slice(folder / "series" / f"{index}.dcm", pixels, index, series)
    return folder


def oblique() -> np.ndarray:
    """A matrix of a volume that lies askew: voxels of 1.5 x 1.25 x 3 mm, turned about two axes."""
    first, second = np.deg2rad(20), np.deg2rad(-10)
    about_x = np.array([[1, 0, 0], [0, np.cos(first), -np.sin(first)], [0, np.sin(first), np.cos(first)]])
    about_z = np.array([[np.cos(second), -np.sin(second), 0], [np.sin(second), np.cos(second), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag([-1.5, 1.25, 3.0])
    affine[:3, 3] = 12.5, -31, 40
    return affine


def _smooth(shape: tuple[int, ...], highest: float, dtype: str) -> np.ndarray:
    """Structures and noise, from 0 to ``highest``: what a denoising network changes, but does not erase."""
    values = gaussian_filter(RNG.random(shape), 2) * 8 + 0.2 * RNG.random(shape)
    values -= values.min()
    return (values / values.max() * highest).astype(dtype)


def _write_slice(path: Path, pixels: np.ndarray, index: int, series: str) -> None:
    """One axial CT image [H, W]; written so that pydicom 2 and 3 do the same."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID = "Test^Patient", "1"
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[series, "study"])
    dataset.SeriesInstanceUID = series
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[series, "frame of reference"])
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "CT", 1, index + 1
    dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-10, 20, 3.0 * index]
    dataset.PixelSpacing, dataset.SliceThickness = [0.8, 0.7], 3
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1000, "HU"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.PixelData = pixels.tobytes()
    pydicom.dcmwrite(path, dataset)
