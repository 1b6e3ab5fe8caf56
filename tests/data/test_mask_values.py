"""Which classes the masks of a person's own folder have, and which of their values are hardly classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from shared.data.folder import survey
from shared.errors import InputError
from tests.data.own_folders import RNG, write_grey, write_mask, write_volume


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


SUSPICIOUS: dict[str, tuple[Sequence[tuple[int, ...]], list[str]]] = {
    # The values of ten masks, and what the one warning says.
    "a class and an index": ([(0, 1, 255)] * 10, ["1 beside 255", "in 10 of 10 masks (first", "scan0.png"]),
    "two classes and full scale": ([(0, 1, 2, 255)] * 10, ["beside 255"]),
    "JPEG": ([(0, 255)] * 4 + [(0, 254, 255)] * 6, ["254 beside 255", "6 of 10 masks", "scan4.png"]),
    "two conventions": ([(0, 255)] * 7 + [(0, 1)] * 3, ["1 beside 255", "3 of 10 masks", "scan7.png"]),
    "the other way": ([(0, 1)] * 9 + [(0, 255)], ["255 beside 1", "1 of 10 masks", "scan9.png"]),
    "no background": ([(1, 2)] * 10, ["1 becomes class 0, the background", "scan0.png"]),
    "in one mask": ([(0, 100)] * 6 + [(0, 100, 200)] + [(0, 100)] * 3, ["200 is in 1 of 10 masks", "scan6.png"]),
    "few pixels": ([(0,) * 200 + (100,) * 199 + (200,)] * 10, ["200 has 10 pixels in 10 of 10 masks", "scan0.png"]),
}


@pytest.mark.parametrize("case", SUSPICIOUS)
def test_suspicious_mask_values_are_warned_about(clean: Path, case: str, caplog: pytest.LogCaptureFixture) -> None:
    masks, words = SUSPICIOUS[case]
    for number, values in enumerate(masks):
        write_mask(clean / "masks" / f"scan{number}.png", values)
    caplog.set_level(logging.INFO, "shared.data")
    found = survey(clean).mask_values
    line = f"masks: values {', '.join(map(str, found))} are classes {', '.join(map(str, range(len(found))))}"
    assert line in [record.getMessage() for record in caplog.records]
    (warning,) = warned(caplog)
    assert [word for word in [*words, "rewrite such masks"] if word not in warning] == []
    assert "\n" not in warning


def test_negative_labels_are_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        write_grey(tmp_path / f"images/{number}.png")
        (tmp_path / "masks").mkdir(exist_ok=True)
        plane = np.resize(np.array([-1, 0, 1], np.int16), 480).reshape(20, 24)
        tifffile.imwrite(tmp_path / f"masks/{number}.tif", plane)
    assert survey(tmp_path).mask_values == (-1, 0, 1)
    (warning,) = warned(caplog)
    assert "-1 becomes class 0, the background, for which 0 is expected (first" in warning


@pytest.mark.parametrize("values", [(0, 255), (0, 1), (0, 1, 2, 4), (0, 128, 255), (0, 85, 170, 255), (0, 254)])
def test_usual_mask_values_are_not(clean: Path, values: tuple[int, ...], caplog: pytest.LogCaptureFixture) -> None:
    for number in range(10):
        write_mask(clean / "masks" / f"scan{number}.png", values)
    survey(clean)
    assert warned(caplog) == []


def test_a_mask_must_be_upright_as_its_image_is(clean: Path, caplog: pytest.LogCaptureFixture) -> None:
    exif = Image.Exif()
    path = clean / "images/scan3.png"
    stored = np.asarray(Image.open(path))
    for orientation in (3, 6):
        exif[0x0112] = orientation
        Image.fromarray(stored).save(path, exif=exif)
        if orientation == 3:
            survey(clean)
    (warning,) = warned(caplog)
    assert "1 image(s) are turned upright by their EXIF orientation, first" in warning
    assert "scan3.png" in warning
    with pytest.raises(InputError, match=r"mask of 24x20 pixels, .* has 20x24 pixels, turned upright by its EXIF orie"):
        survey(clean)
    write_mask(clean / "masks/scan3.png", size=(24, 20))
    assert survey(clean).references[3].content.shape == (24, 20, 1)


def test_masks_may_say_that_they_are_label_maps(tmp_path: Path) -> None:
    for number in range(3):
        write_volume(tmp_path / f"images/{number}.nii")
        (tmp_path / "masks").mkdir(exist_ok=True)
        mask = nibabel.Nifti1Image(RNG.integers(0, 3, (20, 22, 6)).astype(np.uint8), np.eye(4))
        mask.header.set_intent("label")
        nibabel.save(mask, tmp_path / f"masks/{number}.nii.gz")
    assert survey(tmp_path).mask_values == (0, 1, 2)
