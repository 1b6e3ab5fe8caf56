"""The values of single images as a file: what is written, and that it comes back."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from shared.errors import InputError
from shared.reporting import ImageRow, Recognition, per_image_csv, read_quality, summarise
from shared.reporting.per_image import read_per_image
from tests.reporting.test_parts import row


def test_rows_with_and_without_recognition_share_a_table() -> None:
    answer = Recognition("diagnosis", {"clean": np.eye(2, dtype=np.int64)}, {"target": 0, "clean": 1})
    text = per_image_csv([row("a, b"), row("c", vr=answer)])
    assert text.splitlines() == [
        "id,group,psnr_degraded,psnr_enhanced,vr_target,vr_clean",
        '"a, b",g,30.000000,31.000000,,',
        "c,g,30.000000,31.000000,0,1",
    ]
    assert summarise([row("a"), row("c", vr=answer)])["recognition"]["vr"]["number_of_images"] == 1


def test_names_are_no_formulas_and_numbers_keep_their_minus() -> None:
    text = per_image_csv([row("=1+1", -3.0), row("a\rb"), row("'a")])
    assert text.split("\n")[1:] == [
        "'=1+1,g,-3.000000,-2.000000", '"a\rb",g,30.000000,31.000000', "'a,g,30.000000,31.000000", ""
    ]


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    quality = {
        "degraded": {"psnr": 21.5, "ssim": 0.25, "psnr_region": 20.0},
        "enhanced": {"psnr": math.inf, "ssim": 1.0, "psnr_region": math.nan},
    }
    path = tmp_path / "per_image.csv"
    path.write_text(per_image_csv([ImageRow("=a, b", "-g", quality), ImageRow("c", "g", quality)]), encoding="utf-8")
    assert [(line["id"], line["group"]) for line in read_per_image(path)] == [("=a, b", "-g"), ("c", "g")]
    assert read_quality(path) == {"psnr": {"=a, b": math.inf, "c": math.inf}, "ssim": {"=a, b": 1.0, "c": 1.0}}
    assert read_quality(path, "degraded", ["psnr_region"]) == {"psnr_region": {"=a, b": 20.0, "c": 20.0}}
    with pytest.raises(InputError, match=r"per_image\.csv: found no image with psnr_region of enhanced images"):
        read_quality(path, metrics=["psnr_region"])
    with pytest.raises(InputError, match=r"per_image\.csv: found no column psnr_bm3d, expected psnr of bm3d images"):
        read_quality(path, "bm3d")
