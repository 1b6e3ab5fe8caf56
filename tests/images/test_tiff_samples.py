"""Bits, palettes and inks of TIFF files become what PNG and JPEG files of that kind give, or are read as stored."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image
from torch import nn

from shared import InputError
from shared.images import read_picture
from shared.inference import EnhancementInferer, find_images
from tests.images.tiff_files import SIZE, noise, write_packed
from tests.inference.large.case import Uneven, at_once, in_bands

Enhance = Callable[..., list[str]]
WITHOUT_IMAGECODECS = pytest.mark.skipif(
    importlib.util.find_spec("imagecodecs") is not None, reason="imagecodecs reads what is refused here"
)
COLOURS = noise((3, 256), "uint16")


def _twin(path: Path, mode: str) -> np.ndarray:
    """What Pillow makes of the file."""
    with Image.open(path) as image:
        return np.array(image.convert(mode))


def _write(path: Path, kind: str, layout: dict[str, Any]) -> np.ndarray:
    """Write a file of a kind; return what Pillow makes of it."""
    options: dict[str, Any] = {"metadata": None, **layout}
    if kind.startswith("bilevel"):
        tifffile.imwrite(path, noise(SIZE) > 127, photometric=kind.removeprefix("bilevel "), **options)
        return _twin(path, "L")
    if kind == "YCbCr":
        image = Image.fromarray(noise((*SIZE, 3))).convert("YCbCr")
        image.save(path, compression="tiff_adobe_deflate" if "compression" in layout else None)
        # Of a compressed file libtiff makes RGB, and rounds otherwise.
        return np.array(image.convert("RGB"))
    if kind == "palette":
        tifffile.imwrite(path, noise(SIZE), photometric="palette", colormap=COLOURS, **options)
    else:
        tifffile.imwrite(path, noise((*SIZE, 4)), photometric="separated", **options)
    return _twin(path, "RGB")


@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 5, "compression": "zlib"}, {"tile": (16, 32)}], ids=str)
@pytest.mark.parametrize("kind", ["bilevel minisblack", "bilevel miniswhite", "palette", "CMYK", "YCbCr"])
def test_a_tiff_is_enhanced_as_its_twin(tmp_path: Path, enhance: Enhance, kind: str, layout: dict[str, Any]) -> None:
    """At once and in bands, in every layout, and as a PNG file."""
    source = tmp_path / "a.tif"
    expected = _write(source, kind, layout)
    mode = "L" if expected.ndim == 2 else "RGB"
    assert expected.std() > 20
    picture = read_picture(source)
    assert (picture.bits, picture.inverted, picture.pixels.dtype) == (8, False, np.uint8)
    (output,) = enhance(source, tmp_path / "out", channels=3)
    with Image.open(output) as result:
        assert result.mode == mode
        np.testing.assert_array_equal(np.array(result), expected)
    (output,) = enhance(source, tmp_path / "png", channels=3, output_format="png")
    np.testing.assert_array_equal(np.array(Image.open(output)), expected)
    (output,) = enhance(source, tmp_path / "twice", channels=3, network=nn.Upsample(scale_factor=2))
    np.testing.assert_array_equal(np.array(Image.open(output)), expected.repeat(2, 0).repeat(2, 1))
    channels = 3 if mode == "RGB" else 1
    found = in_bands(source, tmp_path / "bands" / "a.tif", nn.Identity(), EnhancementInferer(channels, 32))
    np.testing.assert_array_equal(found, expected)
    network, inferer = Uneven(channels), EnhancementInferer(channels, 32)
    found = in_bands(source, tmp_path / "bands" / "a.tif", network, inferer)
    assert np.abs(found.astype(int) - at_once(source, tmp_path / "b.tif", network, inferer)).max() <= 1


@pytest.mark.parametrize("kind", ["bilevel", "palette", "CMYK"])
@pytest.mark.parametrize("separate", [False, True])
def test_pages_planes_and_extra_samples(tmp_path: Path, enhance: Enhance, kind: str, separate: bool) -> None:
    """Two pages; of CMYK with transparency, in planes of their own too."""
    if kind == "CMYK":
        pixels = noise((2, *SIZE, 5), "uint16")
        stored = np.moveaxis(pixels, -1, 1) if separate else pixels
        options: dict[str, Any] = {"planarconfig": "separate" if separate else "contig", "extrasamples": ["assocalpha"]}
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="separated", metadata=None, **options)
        exact = (65535 - pixels[..., :3].astype(float)) * (65535 - pixels[..., 3:4].astype(float)) / 65535
        expected = np.concatenate([np.rint(exact), pixels[..., 4:]], axis=-1)
    elif kind == "palette":
        pixels = noise((2, *SIZE))
        # Programs that use the lower 8 of 16 bits alone.
        colours = COLOURS >> 8
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="palette", colormap=colours, metadata=None)
        expected = colours.T[pixels]
    else:
        pixels = noise((2, *SIZE)) > 127
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", metadata=None)
        expected = 255 * pixels.astype(np.uint8)
    (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", channels=3)
    np.testing.assert_array_equal(tifffile.imread(output), expected)


@pytest.mark.parametrize("form", ["grey", "white is zero", "colour", "pages"])
@pytest.mark.parametrize("bits", [2, 3, 4, 6, 10, 12, 14])
def test_packed_integers(tmp_path: Path, enhance: Enhance, bits: int, form: str) -> None:
    """More than 8 bits stay as they are, fewer become 8, as in a PNG file."""
    shape = {"colour": (*SIZE, 3), "pages": (2, *SIZE, 1)}.get(form, SIZE)
    values = noise(shape, "uint16") >> (16 - bits)
    photometric = {"white is zero": 0, "colour": 2}.get(form, 1)
    source = write_packed(tmp_path / "a.tif", values, bits, PhotometricInterpretation=photometric)
    picture = read_picture(source)
    assert picture.bits == max(bits, 8)
    assert picture.inverted is (form == "white is zero" and bits > 8)
    (output,) = enhance(source, tmp_path / "out", channels=3 if form == "colour" else 1)
    expected = values
    if bits < 8:
        expected = np.rint(values * (255 / (2**bits - 1))).astype(np.uint8)
        expected = 255 - expected if form == "white is zero" else expected
    result = tifffile.imread(output)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected.squeeze())
    if bits in (2, 4, 12) and form == "grey":
        np.testing.assert_array_equal(result, np.array(Image.open(source)))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palette_of_few_colours(tmp_path: Path, enhance: Enhance, bits: int) -> None:
    colours = noise((3, 2**bits), "uint16")
    values = noise(SIZE) >> (8 - bits)
    extra = [(320, "H", colours.size, colours.ravel().tolist(), False)]
    source = write_packed(tmp_path / "a.tif", values, bits, extra, PhotometricInterpretation=3)
    expected = _twin(source, "RGB")
    np.testing.assert_array_equal(expected, (colours >> 8).T[values])
    (output,) = enhance(source, tmp_path / "out", channels=3)
    np.testing.assert_array_equal(tifffile.imread(output), expected)


@pytest.mark.parametrize("compression", ["group4", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_fax_and_other_compressions_of_one_bit(tmp_path: Path, enhance: Enhance, compression: str) -> None:
    source = tmp_path / "a.tif"
    image = Image.fromarray(noise(SIZE) > 127)
    image.save(source, compression=compression, tiffinfo={262: 0})
    (output,) = enhance(source, tmp_path / "out")
    np.testing.assert_array_equal(np.array(Image.open(output)), _twin(source, "L"))


@pytest.mark.parametrize("mode", ["P", "CMYK", "L", "RGB", "RGBA", "I;16", "F"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_lzw_of_every_kind(tmp_path: Path, enhance: Enhance, mode: str, orientation: int) -> None:
    """Turned files were read as 8 bits of RGBA, without a word."""
    shape = {"P": SIZE, "CMYK": (*SIZE, 4), "RGB": (*SIZE, 3), "RGBA": (*SIZE, 4)}.get(mode, SIZE)
    pixels = noise(shape, {"I;16": "uint16", "F": "float32"}.get(mode, "uint8"))
    image = Image.fromarray(pixels) if mode != "CMYK" else Image.frombytes("CMYK", SIZE[::-1], pixels.tobytes())
    if mode == "P":
        image = image.convert("P")
        image.putpalette((COLOURS >> 8).astype(np.uint8).T.ravel().tolist())
    image.save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={274: orientation})
    with Image.open(tmp_path / "a.tif") as source:
        expected = np.array(source.convert("RGB") if mode in ("P", "CMYK") else source)
    (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", channels=3)
    result = tifffile.imread(output)
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, atol=0 if mode != "F" else 1e-3, rtol=0)


@WITHOUT_IMAGECODECS
def test_deep_colour_that_no_reader_gives_whole_is_refused(tmp_path: Path) -> None:
    """ITK would give 8 bits of RGBA for it."""
    source = tmp_path / "a.tif"
    pixels = noise((*SIZE, 3), "uint16")
    image = SimpleITK.GetImageFromArray(pixels, isVector=True)
    SimpleITK.WriteImage(image, str(source), useCompression=True, compressor="LZW")
    np.testing.assert_array_equal(read_picture(source).pixels, np.moveaxis(pixels, -1, 0))
    with tifffile.TiffFile(source, mode="r+") as file:
        page: Any = file.pages.first
        page.tags["Orientation"].overwrite(3)
    with pytest.raises(InputError, match=r"a\.tif: compressed by LZW in a layout .*: pip install imagecodecs"):
        read_picture(source)


@pytest.mark.parametrize(
    ("photometric", "tags", "message"),
    [
        ("cielab", {}, r"photometric interpretation CIELAB of 8 bits, expected grey, RGB, a palette or CMYK"),
        ("separated", {332: 2}, r"separated into 4 inks \(InkSet 2\), expected grey, RGB or CMYK"),
    ],
)
def test_what_is_no_grey_or_rgb_is_refused_by_its_header(
    tmp_path: Path, photometric: str, tags: dict[int, int], message: str
) -> None:
    pixels = noise((*SIZE, 4 if photometric == "separated" else 3))
    extra = [(code, "H", 1, value, False) for code, value in tags.items()]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, metadata=None, extratags=extra)
    with pytest.raises(InputError, match=message):
        find_images(str(tmp_path / "a.tif"), str(tmp_path / "out"))


@WITHOUT_IMAGECODECS
def test_a_large_image_of_packed_integers_is_refused(tmp_path: Path) -> None:
    source = write_packed(tmp_path / "a.tif", noise(SIZE, "uint16") >> 4, 12)
    with pytest.raises(InputError, match=r"a\.tif: packed in 12 bits, which an image of this size needs .*imagecodecs"):
        in_bands(source, tmp_path / "out" / "a.tif", nn.Identity(), EnhancementInferer(1, 32))


@pytest.mark.parametrize("name", ["multipage.tif", "multipage_rgb.tif"])
def test_files_of_scikit_image(tmp_path: Path, enhance: Enhance, name: str) -> None:
    import skimage

    source = Path(skimage.__file__).parent / "data" / name
    (output,) = enhance(source, tmp_path / "out", channels=3)
    expected = tifffile.imread(source)
    # Colours in planes of their own become neighbours.
    expected = np.moveaxis(expected, 1, -1) if "rgb" in name else expected
    np.testing.assert_allclose(tifffile.imread(output), expected, atol=1e-6 * float(np.ptp(expected)), rtol=0)
