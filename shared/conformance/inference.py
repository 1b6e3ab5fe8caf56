"""The inference configuration by itself: an image file in, an enhanced image file out."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.bundle.reading import start_workflow
from shared.conformance.bundle import SEED, Bundle
from shared.conformance.result import Result
from shared.conformance.spatial import enlargement, side
from shared.errors import message_of

FILES = {"image.png": (37, 31), "volume.nii.gz": (20, 14, 2)}
"""What is enhanced, with its size."""


def check_inference(bundle: Bundle) -> Result:
    """inference.json alone, in a folder without train.json, enhances a PNG and a NIfTI file.

    It is run from another working directory. The results have the sources' types and channels, the size that the
    metadata say, and other pixels.
    """
    bundle.network.state_dict()  # random weights are written when the network is made
    alone, scans, enhanced = (bundle.work / name for name in ("alone", "scans", "enhanced"))
    for folder in (alone / "configs", scans):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(bundle.path("inference"), alone / "configs")
    shutil.copy(bundle.metadata_file, alone / "configs")
    _write_sources(scans, side(bundle, "inputs", "image")["num_channels"])
    overrides = {**bundle.overrides, "input": str(scans), "output_dir": str(enhanced), "device": "cpu"}
    try:
        with contextlib.chdir(scans):
            start_workflow(alone, "inference", **overrides).run()
    except Exception as err:  # MONAI instantiates anything, which raises anything
        return Result.of([f"configs/inference.json: cannot be run by itself: {message_of(err)}"])
    return Result.of(list(_failures(scans, enhanced, enlargement(bundle))))


def _write_sources(folder: Path, channels: int) -> None:
    generator = np.random.default_rng(SEED)
    height, width = FILES["image.png"]
    pixels = generator.integers(0, 256, (height, width, 3) if channels == 3 else (height, width), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    volume = generator.integers(-1000, 1000, FILES["volume.nii.gz"]).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([-1.0, 1.0, 3.0, 1.0])), folder / "volume.nii.gz")


def _failures(scans: Path, enhanced: Path, factors: tuple[int, int]) -> Iterator[str]:
    """What is wrong with the results of both files."""
    readers: dict[str, Callable[[Path], NDArray]] = {"image.png": _read_png, "volume.nii.gz": _read_nifti}
    for name, read in readers.items():
        if not (enhanced / name).is_file():
            yield f"configs/inference.json: {name}: found no result, expected one of the same name in output_dir"
            continue
        source, result = read(scans / name), read(enhanced / name)
        expected = (source.shape[0] * factors[0], source.shape[1] * factors[1], *source.shape[2:])
        if result.shape != expected:
            yield f"configs/inference.json: {name}: found a result of size {result.shape}, expected {expected}"
        elif result.dtype != source.dtype:
            yield f"configs/inference.json: {name}: found a result of type {result.dtype}, expected {source.dtype}"
        elif np.array_equal(result, np.repeat(np.repeat(source, factors[0], 0), factors[1], 1)):
            yield f"configs/inference.json: {name}: found the source's pixels, expected enhanced ones"


def _read_png(path: Path) -> NDArray:
    with Image.open(path) as image:
        return np.asarray(image)


def _read_nifti(path: Path) -> NDArray:
    return np.asanyarray(nibabel.Nifti1Image.from_filename(path).dataobj)
