from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shared.data.loading import LoadUnitImaged, read_image, read_mask
from shared.errors import InputError

HEIGHT, WIDTH = 31, 37
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
LUMA = COLOUR @ np.array([0.299, 0.587, 0.114]) / 255


def alpha(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)])


CASES: dict[str, tuple[Image.Image, str, np.ndarray, np.ndarray]] = {
    "grey png": (Image.fromarray(GREY), "png", np.stack([GREY] * 3) / 255, GREY / 255),
    "grey alpha png": (Image.fromarray(alpha(GREY)), "png", np.stack([GREY] * 3) / 255, GREY / 255),
    "grey bmp": (Image.fromarray(GREY), "bmp", np.stack([GREY] * 3) / 255, GREY / 255),
    "colour png": (Image.fromarray(COLOUR), "png", COLOUR.transpose(2, 0, 1) / 255, LUMA),
    "colour tiff": (Image.fromarray(COLOUR), "tiff", COLOUR.transpose(2, 0, 1) / 255, LUMA),
    "rgba png": (Image.fromarray(alpha(COLOUR)), "png", COLOUR.transpose(2, 0, 1) / 255, LUMA),
    "16 bit png": (Image.fromarray(DEEP), "png", np.stack([DEEP] * 3) / 65535, DEEP / 65535),
    "16 bit tiff": (Image.fromarray(DEEP), "tiff", np.stack([DEEP] * 3) / 65535, DEEP / 65535),
    "bilevel png": (Image.fromarray(GREY > 127), "png", np.stack([GREY > 127] * 3), GREY > 127),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("named", ["right", "png"])
def test_values_channels_and_content_over_name(tmp_path: Path, case: str, named: str) -> None:
    image, extension, colour, grey = CASES[case]
    path = tmp_path / f"image.{extension if named == 'right' else named}"
    image.save(path, format=extension.upper())
    for channels, expected in ((3, colour), (1, grey[None])):
        result = read_image(path, channels)
        assert type(result) is torch.Tensor
        assert result.dtype == torch.float32
        assert result.shape == (channels, HEIGHT, WIDTH)
        assert result.is_contiguous()
        np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=2e-7)


def test_palette_is_applied(tmp_path: Path) -> None:
    image = Image.fromarray(GREY % 3)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "palette.png", transparency=1)
    expected = np.eye(3)[GREY % 3].transpose(2, 0, 1)
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png").numpy(), expected)


def test_jpeg_bytes_under_a_png_name(tmp_path: Path) -> None:
    smooth = Image.fromarray(COLOUR).resize((4, 4)).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    smooth.save(tmp_path / "image.png", format="JPEG", quality=95)
    result = read_image(tmp_path / "image.png").permute(1, 2, 0).numpy()
    assert np.abs(result - np.asarray(smooth) / 255).mean() < 0.02


@pytest.mark.parametrize("name", ["large.png", "large.jpg"])
@pytest.mark.parametrize("pixels", ["colour", "deep"])
def test_resizing_averages_instead_of_skipping(tmp_path: Path, name: str, pixels: str) -> None:
    # A fine chessboard beside a flat half: without anti-aliasing the chessboard would keep its blacks and whites.
    board = np.kron(np.indices((120, 80)).sum(0) % 2, np.ones((4, 4)))
    plane = np.hstack([board, np.full((480, 320), 0.25)])
    if pixels == "deep":
        if name.endswith("jpg"):
            pytest.skip("JPEG has 8 bits")
        Image.fromarray(np.uint16(plane * 65535)).save(tmp_path / name)
    else:
        Image.fromarray(np.uint8(np.dstack([plane] * 3) * 255)).save(tmp_path / name, quality=95)
    result = read_image(tmp_path / name, 3, (24, 32))
    assert result.shape == (3, 24, 32)
    assert (result[:, 2:-2, 2:14] - 0.5).abs().max() < 0.1
    assert (result[:, 2:-2, 18:-2] - 0.25).abs().max() < 0.02


def test_large_jpeg_is_decoded_at_a_fraction_of_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.zeros((1536, 2048, 3), np.uint8)).save(tmp_path / "large.jpg")
    sizes: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def record(image: Image.Image, *arguments: Any) -> Image.Image:
        sizes.append(image.size)
        return resize(image, *arguments)

    monkeypatch.setattr(Image.Image, "resize", record)
    read_image(tmp_path / "large.jpg", size=(128, 128))
    assert set(sizes) == {(512, 384)}


def test_binary_and_index_masks(tmp_path: Path) -> None:
    values = np.array([[0, 127, 128, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / "mask.png")
    Image.fromarray(np.dstack([values] * 3)).save(tmp_path / "rgb.png")
    Image.fromarray(np.uint16(values) * 257).save(tmp_path / "deep.png")
    Image.fromarray(values > 127).save(tmp_path / "bilevel.png")
    for name in ("mask.png", "rgb.png", "deep.png", "bilevel.png"):
        result = read_mask(tmp_path / name)
        assert result.dtype == torch.float32
        assert result.tolist() == [[[0, 0, 1, 1]]], name
    assert read_mask(tmp_path / "mask.png", "index").tolist() == [[[0, 127, 128, 255]]]
    assert read_mask(tmp_path / "bilevel.png", "index").tolist() == [[[0, 0, 1, 1]]]
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    palette.putpalette([255, 255, 255, 9, 9, 9, 0, 0, 0])
    palette.save(tmp_path / "palette.png")
    assert read_mask(tmp_path / "palette.png", "index").tolist() == [[[0, 1, 2]]]
    with pytest.raises(InputError, match="rgb.png' must have one channel, found mode RGB"):
        read_mask(tmp_path / "rgb.png", "index")


def test_mask_of_zero_and_one_is_no_empty_mask(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1]], np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="mask.png' holds 0 and 1.*'index'"):
        read_mask(tmp_path / "mask.png")


def test_mask_is_resized_without_new_values(tmp_path: Path) -> None:
    Image.fromarray(GREY % 5).save(tmp_path / "mask.png")
    result = read_mask(tmp_path / "mask.png", "index", (16, 16))
    assert result.shape == (1, 16, 16)
    assert set(result.unique().tolist()) <= set(range(5))


def test_transform_loads_image_and_mask_and_keeps_the_rest(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    Image.fromarray(np.uint8(GREY > 99) * 255).save(tmp_path / "m.png")
    item = {"id": "a", "class": 1, "label": str(tmp_path / "a.png"), "mask": str(tmp_path / "m.png")}
    before = dict(item)
    result = LoadUnitImaged(channels=1)(item)
    assert item == before
    assert result["label"].shape == result["mask"].shape == (1, HEIGHT, WIDTH)
    assert torch.equal(result["mask"][0], torch.from_numpy(GREY > 99).float())
    assert (result["id"], result["class"]) == ("a", 1)
    assert LoadUnitImaged(mask_key=None)(item)["mask"] == item["mask"]
    small = LoadUnitImaged(size=16)({key: item[key] for key in ("label", "mask")})
    assert small["label"].shape == (3, 16, 16)
    assert small["mask"].shape == (1, 16, 16)
    assert "mask" not in LoadUnitImaged()({"label": item["label"]})


def truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated": (truncate, "cannot be read as an image"),
    "text": (lambda path: path.write_text("<html>not found</html>"), "cannot be read as an image"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read as an image"),
    "header only": (lambda path: path.write_bytes(path.read_bytes()[:20]), "cannot be read as an image"),
    "missing": (lambda path: path.unlink(), "no such file"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["image.jpg", "image.png", "image.tiff", "image.bmp"])
@pytest.mark.parametrize("size", [None, (16, 16)])
def test_bad_files_are_named(tmp_path: Path, fault: str, name: str, size: tuple[int, int] | None) -> None:
    path = tmp_path / name
    Image.fromarray(COLOUR).save(path)
    damage, message = FAULTS[fault]
    damage(path)
    for read in (read_image, lambda path, size: read_mask(path, size=size)):
        with pytest.raises(InputError, match=message) as caught:
            read(path, size=size)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_mask_of_another_size_names_both_files_and_sizes(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg")
    Image.fromarray(GREY.T.copy()).save(tmp_path / "m.png")
    with pytest.raises(InputError) as caught:
        LoadUnitImaged(size=16)({"label": tmp_path / "a.jpg", "mask": tmp_path / "m.png"})
    for word in ("a.jpg", "m.png", f"{WIDTH}x{HEIGHT}", f"{HEIGHT}x{WIDTH}"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 2}, "channels must be 1 or 3, found 2"),
        ({"mask_kind": "indices"}, "mask kind 'indices' is unknown; the nearest is 'index'"),
        ({"size": 0}, "size must be positive"),
    ],
)
def test_bad_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LoadUnitImaged(**arguments)
