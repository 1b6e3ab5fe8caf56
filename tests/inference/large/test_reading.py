"""The rows of a large TIFF image are read from the tiles or strips that hold them, once each."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from shared.errors import InputError
from shared.images import read_picture
from shared.inference import EnhancementInferer
from shared.inference.large import tiff_rows
from shared.inference.large.tiff_rows import TiffRows
from tests.inference.large.case import Uneven, in_bands, noise, write

SIZE = (100, 75)
LAYOUTS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips": {"rowsperstrip": 7},
    "compressed strips": {"rowsperstrip": 16, "compression": "zlib"},
    "tiles": {"tile": (32, 16)},
    "compressed tiles": {"tile": (16, 48), "compression": "zlib"},
    "BigTIFF": {"tile": (64, 64), "bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "big-endian tiles": {"byteorder": ">", "tile": (32, 32), "compression": "zlib"},
}


def assert_rows(path: Path, expected: NDArray, step: int, threads: Any = None) -> None:
    """Rows in steps with an overlap, as bands ask for them, are those of the whole image."""
    expected = expected if expected.ndim == 3 else expected[..., None]
    with TiffRows(str(path), threads) as rows:
        assert (rows.height, rows.width, rows.samples) == expected.shape
        assert rows.dtype == expected.dtype
        for start in range(0, rows.height, step):
            stop = min(start + step + 5, rows.height)
            np.testing.assert_array_equal(rows.read(start, stop), expected[start:stop])
        np.testing.assert_array_equal(rows.read(3, 9), expected[3:9])


@pytest.mark.parametrize("step", [1, 23, 100])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_rows_of_a_grey_image(tmp_path: Path, layout: str, dtype: str, step: int) -> None:
    pixels = noise(SIZE, dtype)
    assert_rows(write(tmp_path / "a.tif", pixels, **LAYOUTS[layout]), pixels, step)


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("samples", [3, 4])
def test_rows_of_a_colour_image(tmp_path: Path, layout: str, samples: int, planes: str) -> None:
    pixels = noise((*SIZE, samples), "uint16")
    stored = np.moveaxis(pixels, -1, 0) if planes == "separate" else pixels
    extra = {"extrasamples": ["unassalpha"]} if samples == 4 else {}
    source = write(tmp_path / "a.tif", stored, planarconfig=planes, photometric="rgb", **LAYOUTS[layout], **extra)
    with ThreadPoolExecutor(3) as threads:
        assert_rows(source, pixels, 23, threads)
    with TiffRows(str(source)) as rows:
        assert rows.channels == 3


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_row_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    decoded: list[int] = []
    decode = TiffRows._decode
    monkeypatch.setattr(
        TiffRows, "_decode", lambda self, begin, target: (decoded.append(len(target)), decode(self, begin, target))
    )
    with TiffRows(str(write(tmp_path / "a.tif", noise(SIZE), **LAYOUTS[layout]))) as rows:
        for start in range(0, 80, 16):
            rows.read(start, start + 36)
    assert sum(decoded) == SIZE[0]


@pytest.mark.parametrize("kind", ["sub-images", "pages", "slide"])
def test_full_resolution_of_a_pyramid(tmp_path: Path, kind: str) -> None:
    pixels = noise((256, 192, 3))
    options = {"photometric": "rgb", "tile": (64, 64), "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        if kind == "sub-images":
            file.write(pixels, subifds=2, **options)
            file.write(pixels[::2, ::2], subfiletype=1, **options)
            file.write(pixels[::4, ::4], subfiletype=1, **options)
        elif kind == "pages":
            file.write(pixels, **options)
            file.write(pixels[::2, ::2], subfiletype=1, **options)
            file.write(pixels[::4, ::4], subfiletype=1, **options)
        else:
            file.write(pixels, description="Aperio Image Library v11", **options)
            file.write(pixels[::8, ::8], photometric="rgb", metadata=None)
            file.write(pixels[::4, ::4], **options)
            file.write(pixels[:20, :40], subfiletype=1, photometric="rgb", metadata=None)
    np.testing.assert_array_equal(read_picture(str(tmp_path / "a.tif")).pixels, np.moveaxis(pixels, -1, 0))
    assert_rows(tmp_path / "a.tif", pixels, 50)


def test_tiles_that_were_never_written_are_empty(tmp_path: Path) -> None:
    pixels = noise((64, 64))
    tiles = iter([pixels[:32, :32], None, None, pixels[32:, 32:]])
    tifffile.imwrite(tmp_path / "a.tif", tiles, shape=(64, 64), dtype="uint8", tile=(32, 32), metadata=None)
    expected = pixels.copy()
    expected[:32, 32:] = expected[32:, :32] = 0
    assert_rows(tmp_path / "a.tif", expected, 20)


@pytest.mark.parametrize("layout", ["one strip", "strips", "compressed tiles", "tiles"])
def test_a_truncated_file_is_named_and_nothing_is_left(tmp_path: Path, layout: str) -> None:
    source = write(tmp_path / "a.tif", noise((200, 75), "uint8"), **LAYOUTS[layout])
    source.write_bytes(source.read_bytes()[: -75 * 60])
    with pytest.raises(InputError, match=r"a\.tif: rows \d+ to \d+ cannot be read"):
        in_bands(source, tmp_path / "out" / "a.tif", Uneven(), EnhancementInferer(1, 32))
    assert list((tmp_path / "out").iterdir()) == []


def test_strips_that_are_too_large_to_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_rows, "_LARGEST_ROW_OF_SEGMENTS", 2**20)
    source = write(tmp_path / "a.tif", noise((1500, 1000)), compression="zlib", rowsperstrip=1500)
    with pytest.raises(InputError, match=r"a\.tif: compressed in strips of 1500 rows, 1 MiB at once, expected at most"):
        TiffRows(str(source))
    write(source, noise((1500, 1000)))
    with TiffRows(str(source)) as rows:
        assert rows.read(700, 702).shape == (2, 1000, 1)


@pytest.mark.skipif(importlib.util.find_spec("imagecodecs") is not None, reason="imagecodecs reads LZW")
def test_a_missing_codec_is_named(tmp_path: Path) -> None:
    Image.fromarray(noise((40, 30))).save(tmp_path / "a.tif", compression="tiff_lzw")
    with pytest.raises(InputError, match=r"a\.tif: compressed by LZW, .*: pip install imagecodecs"):
        TiffRows(str(tmp_path / "a.tif"))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4, 30, 20), {"photometric": "minisblack"}, r"axes .* expected one image, no stack"),
        ((30, 20, 3), {"photometric": "cielab"}, r"photometric interpretation CIELAB of 8 bits, expected grey, RGB, a"),
    ],
)
def test_what_is_no_large_image(tmp_path: Path, shape: tuple[int, ...], options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TiffRows(str(write(tmp_path / "a.tif", noise(shape), **options)))


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.tif: no such file"):
        TiffRows(str(tmp_path / "a.tif"))
