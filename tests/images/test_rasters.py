"""PNG, JPEG and GIF: samples as stored, transparency, resolution and colour profile, and what is refused."""

from __future__ import annotations

import importlib.util
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from torch import nn

from shared import InputError
from shared.images import read_picture
from shared.images.resolution import raster_spacing
from shared.inference import find_images
from tests.images.png_files import CHANNELS, GREY, GREY_ALPHA, PALETTE, RGB, RGBA, chunk, read_png, write_png

Enhance = Callable[..., list[str]]
RNG = np.random.default_rng(9)
ODD = (19, 13)
TWELVE_BITS = 2**12
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Pixels per metre: 254 and 508 dots per inch.
DENSE = struct.pack(">IIB", 10_000, 20_000, 1)


def noise(colour_type: int, top: int = 2**16, size: tuple[int, int] = ODD) -> NDArray[np.uint16]:
    samples = RNG.integers(0, top, (*size, CHANNELS[colour_type]), dtype=np.uint16)
    samples.flat[:2] = 0, top - 1
    return samples


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("top", [TWELVE_BITS, 2**16])
@pytest.mark.parametrize("colour_type", [GREY, RGB, GREY_ALPHA, RGBA])
def test_samples_of_16_bits_are_those_that_are_stored(
    tmp_path: Path, enhance: Enhance, colour_type: int, top: int, interlaced: bool
) -> None:
    """Readers that follow the chunk sBIT shift by 4 or 8 bits, others give the upper 8."""
    samples = noise(colour_type, top)
    for significant in (None, 8, 12):
        kept = [] if significant is None else [(b"sBIT", bytes([significant] * CHANNELS[colour_type]))]
        source = write_png(tmp_path / f"{significant}.png", samples, colour_type, 16, kept, interlaced)
        picture = read_picture(source)
        assert picture.bits == 16
        colours = CHANNELS[colour_type] - (colour_type in (GREY_ALPHA, RGBA))
        np.testing.assert_array_equal(picture.pixels, np.moveaxis(samples[..., :colours], -1, 0))
        (output,) = enhance(source, tmp_path / "out", channels=colours, roi_size=16)
        found, chunks = read_png(output)
        assert chunks[b"IHDR"][8:10] == bytes([16, colour_type])
        np.testing.assert_array_equal(found, samples)


@pytest.mark.parametrize("network", [None, nn.Upsample(scale_factor=2)], ids=["same", "finer"])
@pytest.mark.parametrize("colour_type", [GREY, RGB, GREY_ALPHA, RGBA])
def test_what_a_deep_png_says_about_its_pixels_is_kept(
    tmp_path: Path, enhance: Enhance, colour_type: int, network: nn.Module | None
) -> None:
    kept = [
        (b"gAMA", struct.pack(">I", 100_000)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (b"sRGB", b"\1"),
        (b"pHYs", DENSE),
    ]
    source = write_png(tmp_path / "a.png", noise(colour_type), colour_type, 16, kept)
    (output,) = enhance(source, tmp_path / "out", network, channels=3 if colour_type in (RGB, RGBA) else 1)
    _, chunks = read_png(output)
    factor = 1 if network is None else 2
    expected = {**dict(kept), b"pHYs": struct.pack(">IIB", factor * 10_000, factor * 20_000, 1)}
    assert {name: chunks.get(name) for name in expected} == expected
    assert raster_spacing(output) == pytest.approx((0.05 / factor, 0.1 / factor))


@pytest.mark.parametrize("bits", [8, 16])
def test_colour_profile_is_kept(tmp_path: Path, enhance: Enhance, bits: int) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "plain.png", icc_profile=SRGB)
    profile = read_png(tmp_path / "plain.png")[1][b"iCCP"]
    source = write_png(tmp_path / "a.png", noise(RGB, 2**bits), RGB, bits, [(b"iCCP", profile)])
    (output,) = enhance(source, tmp_path / "out", channels=3)
    with Image.open(output) as image:
        assert image.info["icc_profile"] == SRGB


@pytest.mark.parametrize(
    ("colour_type", "bits"), [(GREY, 1), (GREY, 2), (GREY, 4), (GREY, 8), (GREY, 16), (RGB, 8), (RGB, 16)]
)
def test_transparent_colour_becomes_alpha(tmp_path: Path, enhance: Enhance, colour_type: int, bits: int) -> None:
    """The enhanced values are no key to it, so it is written out; few bits become eight, as the values do."""
    samples = noise(colour_type, 2**bits)
    key = samples[3, 4]
    source = write_png(
        tmp_path / "a.png", samples, colour_type, bits, [(b"tRNS", struct.pack(f">{len(key)}H", *key))]
    )
    network = nn.Upsample(scale_factor=2)
    (output,) = enhance(source, tmp_path / "out", network, channels=CHANNELS[colour_type])
    found, chunks = read_png(output)
    depth = max(bits, 8)
    assert chunks[b"IHDR"][8:10] == bytes([depth, GREY_ALPHA if colour_type == GREY else RGBA])
    stretched = samples.astype(np.int64) * ((2**depth - 1) // (2**bits - 1))
    alpha = np.where((samples == key).all(axis=-1, keepdims=True), 0, 2**depth - 1)
    expected = np.concatenate([stretched, alpha], axis=-1).repeat(2, axis=0).repeat(2, axis=1)
    assert 0 < (alpha == 0).mean() < 1
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_with_transparency(tmp_path: Path, enhance: Enhance, bits: int) -> None:
    indices = RNG.integers(0, 2**bits, (*ODD, 1))
    colours = RNG.integers(0, 256, (2**bits, 3), dtype=np.uint8)
    alphas = RNG.integers(0, 256, 2**bits, dtype=np.uint8)
    extra = [(b"PLTE", colours.tobytes()), (b"tRNS", alphas.tobytes())]
    source = write_png(tmp_path / "a.png", indices, PALETTE, bits, extra)
    (output,) = enhance(source, tmp_path / "out", channels=3)
    expected = np.concatenate([colours, alphas[:, None]], axis=-1)[indices[..., 0]]
    np.testing.assert_array_equal(read_png(output)[0], expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_orientation_by_exif(tmp_path: Path, enhance: Enhance, bits: int) -> None:
    """A quarter turn clockwise; the spacing turns with the pixels."""
    turned = Image.Exif()
    turned[0x0112] = 6
    samples = noise(RGB, 2**bits)
    extra = [(b"eXIf", turned.tobytes().removeprefix(b"Exif\0\0")), (b"pHYs", DENSE)]
    source = write_png(tmp_path / "a.png", samples, RGB, bits, extra)
    assert raster_spacing(str(source)) == pytest.approx((0.1, 0.05))
    (output,) = enhance(source, tmp_path / "out", channels=3)
    found, chunks = read_png(output)
    np.testing.assert_array_equal(found, np.rot90(samples, -1))
    assert b"eXIf" not in chunks
    assert raster_spacing(output) == pytest.approx((0.1, 0.05))


@pytest.mark.parametrize("colour_type", [GREY, RGB, GREY_ALPHA])
def test_truncated_deep_png(tmp_path: Path, colour_type: int, capfd: Any) -> None:
    source = write_png(tmp_path / "a.png", noise(colour_type, size=(60, 50)), colour_type)
    source.write_bytes(source.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"a\.png: cannot be read as an image: .*truncated"):
        read_picture(source)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("transparent", [False, True])
def test_gif_gives_png(tmp_path: Path, enhance: Enhance, transparent: bool) -> None:
    colours = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
    indices = RNG.integers(0, 256, ODD, dtype=np.uint8)
    indices[2, 3] = 7
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "a.gif", **({"transparency": 7} if transparent else {}))
    (output,) = enhance(tmp_path / "a.gif", tmp_path / "out", channels=3)
    assert Path(output).name == "a.gif.png"
    found, _ = read_png(output)
    np.testing.assert_array_equal(found[..., :3], colours[indices])
    assert found.shape[-1] == 3 + transparent
    if transparent:
        np.testing.assert_array_equal(found[..., 3] == 0, indices == 7)


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_animation_is_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(RNG.integers(0, 256, ODD, dtype=np.uint8)) for _ in range(3)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    for action in (lambda: find_images(str(tmp_path), str(tmp_path / "out")), lambda: read_picture(
        tmp_path / f"a{suffix}"
    )):
        with pytest.raises(InputError, match=rf"a\{suffix}: an animation of 3 frames, expected one image$"):
            action()


def _jpeg_header(bits: int) -> bytes:
    """As far as the size of the image, behind a comment that looks like the header of another one."""
    comment = b"\xff\xc0\0\x0b\x08\0\1\0\1\1"
    size = struct.pack(">BHHBBBB", bits, 30, 20, 1, 1, 0x11, 0)
    return b"\xff\xd8\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + b"\xff\xff\xc1\0\x0b" + size


def test_jpeg_of_12_bits_without_its_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    (tmp_path / "a.jpg").write_bytes(_jpeg_header(12))
    message = r"a\.jpg: a 12-bit JPEG, expected 8 bits; others need the package imagecodecs: pip install imagecodecs$"
    for action in (read_picture, lambda path: find_images(str(path), str(tmp_path / "out"))):
        with pytest.raises(InputError, match=message):
            action(tmp_path / "a.jpg")
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(importlib.util.find_spec("imagecodecs") is None, reason="imagecodecs is an optional package")
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_of_12_bits_keeps_them(tmp_path: Path, enhance: Enhance, channels: int) -> None:
    imagecodecs: Any = pytest.importorskip("imagecodecs")
    ramp = np.linspace(0, TWELVE_BITS - 1, 40 * 30).astype(np.uint16).reshape(40, 30)
    samples = np.stack([ramp] * channels, axis=-1)
    stored = imagecodecs.jpeg_encode(samples.squeeze(), level=99, bitspersample=12)
    (tmp_path / "a.jpg").write_bytes(stored)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.bits == 12
    np.testing.assert_allclose(picture.pixels, np.moveaxis(samples, -1, 0), atol=40)
    (output,) = enhance(tmp_path / "a.jpg", tmp_path / "out", channels=channels)
    np.testing.assert_array_equal(read_png(output)[0], np.moveaxis(picture.pixels, 0, -1))


def test_chunks_of_the_test_files_are_sound(tmp_path: Path) -> None:
    """The reader of these tests is tried on what Pillow writes, with all kinds of filters."""
    for mode, colour_type in (("L", GREY), ("RGB", RGB), ("RGBA", RGBA), ("LA", GREY_ALPHA)):
        smooth = np.add.outer(np.arange(40), np.arange(30))[..., None] * np.arange(1, 1 + CHANNELS[colour_type])
        samples = (smooth % 251).astype(np.uint8)
        Image.fromarray(samples.squeeze()).convert(mode).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_png(tmp_path / "a.png")[0], samples)
    assert chunk(b"IEND", b"") == b"\0\0\0\0IEND\xaeB`\x82"
