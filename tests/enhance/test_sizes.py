"""Bundles that enlarge: every kind of image comes back four times as large in its plane, the smallest ones too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.enhance.conftest import noise

FACTOR = 4
IMAGES = {"a.png": (20, 24), "odd.png": (37, 31), "three.png": (3, 3), "row.png": (1, 5), "sub/colour.jpg": (16, 12)}
VOLUMES = {"volume.nii.gz": (12, 14, 3), "one_slice.nii.gz": (12, 14, 1), "flat.nii": (13, 11)}


@pytest.mark.parametrize("bundle", ["gradprom_lizard", "rirgan_mni152", "rirgan_folder"])
def test_every_image_is_enlarged(
    series: Path, tmp_path: Path, enhance: Callable[..., int], weights_for: Callable[[str], str], bundle: str
) -> None:
    folder, clean = tmp_path / "all", tmp_path / "clean"
    (folder / "sub").mkdir(parents=True)
    for name, (height, width) in IMAGES.items():
        colour = (3,) if "colour" in name else ()
        Image.fromarray(noise(height, width, *colour)).save(folder / name)
    for name, shape in VOLUMES.items():
        nibabel.save(nibabel.Nifti1Image(noise(*shape).astype(np.int16), np.diag([1, 2, 3, 1])), folder / name)
    series.rename(folder / "series")
    assert enhance(folder, "--ckpt", weights_for(bundle), bundle=bundle) == 0
    for name, (height, width) in IMAGES.items():
        with Image.open(clean / (f"{name}.png" if name.endswith("jpg") else name)) as image:
            assert (image.height, image.width) == (FACTOR * height, FACTOR * width), name
    for name, shape in VOLUMES.items():
        result = nibabel.Nifti1Image.from_filename(clean / name)
        assert result.shape == (FACTOR * shape[0], FACTOR * shape[1], *shape[2:]), name
        np.testing.assert_allclose(result.header.get_zooms()[:2], (1 / FACTOR, 2 / FACTOR), rtol=1e-6)
        assert result.get_data_dtype() == np.int16
    sources, results = (
        sorted(map(pydicom.dcmread, (place / "series").rglob("*.dcm")), key=lambda each: float(each.InstanceNumber))
        for place in (folder, clean)
    )
    assert len(results) == len(sources) == 3
    for source, result in zip(sources, results, strict=True):
        assert result.pixel_array.shape == (FACTOR * source.Rows, FACTOR * source.Columns)
        np.testing.assert_allclose(result.PixelSpacing, np.array(source.PixelSpacing, float) / FACTOR, rtol=1e-6)
        assert float(result.ImagePositionPatient[2]) == float(source.ImagePositionPatient[2])
