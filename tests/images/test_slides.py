"""Slides of Aperio's scanners: their first image alone is enhanced, and written as TIFF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from shared import InputError
from shared.images import read_picture
from shared.inference import EnhancementInferer, find_images
from tests.inference.large.case import Uneven, at_once, in_bands, noise

Enhance = Callable[..., list[str]]
ABOUT = "Aperio Image Library v11.2.1 \r\n280x300 [0,0 280x300] (64x64) -> 70x75"


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """In full resolution, as thumbnail and in half of the resolution, with label and macro image."""
    pixels = noise((300, 280, 3))
    tiled: dict[str, Any] = {"photometric": "rgb", "metadata": None, "tile": (64, 64), "compression": "zlib"}
    plain: dict[str, Any] = {"photometric": "rgb", "metadata": None}
    (tmp_path / "in").mkdir()
    with tifffile.TiffWriter(tmp_path / "in" / "a.svs") as file:
        file.write(pixels, description=ABOUT, resolution=(20000, 20000), resolutionunit="CENTIMETER", **tiled)
        file.write(pixels[::4, ::4], description=ABOUT, **plain)
        file.write(pixels[::2, ::2], description=ABOUT, **tiled)
        file.write(pixels[:50, :40], description="Aperio Image Library v11.2.1\r\nlabel 40x50", subfiletype=1, **plain)
        file.write(pixels[:60, :80], description="Aperio Image Library v11.2.1\r\nmacro 80x60", subfiletype=9, **plain)
    return tmp_path / "in" / "a.svs"


def test_a_slide_gives_tiff_of_its_full_resolution(slide: Path, tmp_path: Path, enhance: Enhance) -> None:
    (output,) = enhance(slide.parent, tmp_path / "out", channels=3)
    assert Path(output).name == "a.svs.tif"
    with tifffile.TiffFile(slide) as source, tifffile.TiffFile(output) as result:
        assert len(result.pages) == 1
        np.testing.assert_array_equal(result.asarray(), source.pages.first.asarray())
        assert result.pages.first.tags["XResolution"].value == source.pages.first.tags["XResolution"].value
    (output,) = enhance(slide.parent, tmp_path / "png", channels=3, output_format="png")
    assert Path(output).name == "a.svs.png"
    with Image.open(output) as picture:
        assert picture.size == (280, 300)


def test_a_large_slide_is_enhanced_in_bands(slide: Path, tmp_path: Path) -> None:
    (item,) = find_images(str(slide.parent), str(tmp_path / "out"), large_image_pixels=1000)
    assert item["large"]
    network, inferer = Uneven(3), EnhancementInferer(3, 64)
    in_one = at_once(slide, tmp_path / "b.tif", network, inferer)
    # Rounding of float32 where a value lies half-way.
    assert np.abs(in_bands(slide, Path(item["output"]), network, inferer).astype(int) - in_one).max() <= 1


def test_colours_that_no_decoder_turns_are_refused(slide: Path) -> None:
    """Aperio's JPEG 2000 of luminance and chroma, whose tag says RGB."""
    with tifffile.TiffFile(slide, mode="r+b") as file:
        file.pages.first.tags["Compression"].overwrite(33003)
    with pytest.raises(InputError, match=r"a\.svs: photometric interpretation YCBCR of 8 bits, expected grey, RGB"):
        read_picture(slide)
