"""A large image comes out of its bands as it comes out of one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from shared.errors import InputError
from shared.images import IntensityScaling
from shared.inference import EnhancementInferer, LargeImages, LoadSourced, find_images
from shared.inference.large import bands as bands_module
from shared.inference.large.images import is_large_tiff, is_large_volume
from shared.inference.windows import WindowAxis
from tests.images.nifti_files import save_nifti
from tests.inference.large.case import UNIT, Uneven, at_once, in_bands, noise, write

LOAD = LoadSourced("image", UNIT)
ROUNDING = 2e-6
"""What float32 leaves of values up to 1."""


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("size", [(37, 31), (300, 271), (9, 400)])
@pytest.mark.parametrize(("colours", "channels"), [(1, 1), (3, 3), (1, 3), (3, 1)])
def test_bands_give_what_one_pass_gives(
    tmp_path: Path, overlap: float, size: tuple[int, int], colours: int, channels: int
) -> None:
    pixels = noise(size if colours == 1 else (*size, 3), "float32")
    source = write(tmp_path / "a.tif", pixels, tile=(32, 48))
    inferer = EnhancementInferer(channels, roi_size=(40, 32), overlap=overlap)
    found = in_bands(source, tmp_path / "bands" / "a.tif", Uneven(channels), inferer)
    expected = at_once(source, tmp_path / "once" / "a.tif", Uneven(channels), inferer)
    assert found.shape == pixels.shape
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("size", [(37, 31), (150, 290)])
def test_super_resolution(tmp_path: Path, factor: int, size: tuple[int, int]) -> None:
    source = write(tmp_path / "a.tif", noise((*size, 3), "float32"), resolution=(50, 25))
    inferer, network = EnhancementInferer(3, roi_size=32), Uneven(3, factor)
    found = in_bands(source, tmp_path / "bands" / "a.tif", network, inferer)
    expected = at_once(source, tmp_path / "once" / "a.tif", network, inferer)
    assert found.shape == (size[0] * factor, size[1] * factor, 3)
    np.testing.assert_allclose(found, expected, atol=ROUNDING, rtol=0)
    with tifffile.TiffFile(tmp_path / "bands" / "a.tif") as file:
        page: Any = file.pages.first
        assert page.tags["XResolution"].value == (50 * factor, 1)
        assert page.tags["YResolution"].value == (25 * factor, 1)


@pytest.mark.parametrize("size", [(20, 300), (300, 20), (20, 20), (70, 67)])
def test_sizes_that_the_network_does_not_accept_are_padded_alike(tmp_path: Path, size: tuple[int, int]) -> None:
    source = write(tmp_path / "a.tif", noise(size, "float32"))
    inferer = EnhancementInferer(1, roi_size=32, divisible_by=16)
    found = in_bands(source, tmp_path / "bands" / "a.tif", Uneven(), inferer)
    expected = at_once(source, tmp_path / "once" / "a.tif", Uneven(), inferer)
    np.testing.assert_allclose(found, expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("wrong", ["weights", "grid"])
def test_the_tolerance_sees_a_wrong_blend_and_a_wrong_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    source = write(tmp_path / "a.tif", noise((100, 90), "float32"))
    inferer = EnhancementInferer(1, roi_size=32)
    expected = at_once(source, tmp_path / "once" / "a.tif", Uneven(), inferer)
    if wrong == "weights":
        add = bands_module.BlendedRows.add

        def average(self: Any, block: torch.Tensor, rows: Any, columns: Any) -> None:
            even = type(rows)(rows.start, rows.stop, torch.ones_like(rows.weights))
            add(self, block, even, columns)

        monkeypatch.setattr(bands_module.BlendedRows, "add", average)
        monkeypatch.setattr(bands_module, "_total", lambda axis: _total_of_ones(axis))
    else:
        of = WindowAxis.of
        monkeypatch.setattr(WindowAxis, "of", lambda size, window, overlap: of(size, window, overlap + 0.04))
    found = in_bands(source, tmp_path / "bands" / "a.tif", Uneven(), inferer)
    assert np.abs(found - expected).max() > 1000 * ROUNDING


def _total_of_ones(axis: WindowAxis) -> torch.Tensor:
    total = torch.zeros(axis.size)
    for start in axis.starts:
        total[start : start + axis.length] += 1
    return total


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float64"])
@pytest.mark.parametrize("samples", [1, 2, 3, 4, 5])
def test_stored_values_are_those_of_the_ordinary_way(tmp_path: Path, dtype: str, samples: int) -> None:
    size = (280, 300)
    pixels = noise(size if samples == 1 else (*size, samples), dtype)
    extra = {1: 0, 2: 1, 3: 0, 4: 1, 5: 2}[samples]
    options = {"extrasamples": ["unassalpha", "unspecified"][:extra]} if extra else {}
    photometric = "rgb" if samples >= 3 else "minisblack"
    source = write(tmp_path / "a.tif", pixels, photometric=photometric, planarconfig="contig", **options)
    inferer, rule = EnhancementInferer(1, roi_size=48), IntensityScaling("percentile", 1, 98)
    found = in_bands(source, tmp_path / "bands" / "a.tif", Uneven(), inferer, rule)
    expected = at_once(source, tmp_path / "once" / "a.tif", Uneven(), inferer, rule)
    assert found.dtype == pixels.dtype
    assert found.shape == pixels.shape
    if dtype == "float64":
        np.testing.assert_allclose(found, expected, atol=2 * ROUNDING, rtol=0)
    else:
        difference = np.abs(found.astype(np.int64) - expected)
        # Rounding to whole numbers turns on the last digit of float32 where a value lies half-way.
        levels = np.iinfo(dtype).max
        assert difference.max() <= 1
        assert (difference > 0).mean() <= 4e-7 * levels + 2 / difference.size
    if extra:
        np.testing.assert_array_equal(found[..., -extra:], pixels[..., -extra:])


def test_extra_channels_grow_with_the_image(tmp_path: Path) -> None:
    pixels = noise((200, 190, 4))
    source = write(tmp_path / "a.tif", pixels, extrasamples=["unassalpha"], tile=(64, 64))
    found = in_bands(source, tmp_path / "b" / "a.tif", Uneven(3, 3), EnhancementInferer(3, roi_size=32))
    np.testing.assert_array_equal(found[..., 3], pixels[..., 3].repeat(3, 0).repeat(3, 1))


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_form_of_the_file(tmp_path: Path, photometric: str, compression: str | None, bigtiff: bool) -> None:
    pixels = noise((300, 270), "uint16")
    options = {"photometric": photometric, "compression": compression, "bigtiff": bigtiff}
    source = write(tmp_path / "a.tif", pixels, **options)
    inferer = EnhancementInferer(1, roi_size=64)
    found = in_bands(source, tmp_path / "bands" / "a.tif", Uneven(), inferer)
    expected = at_once(source, tmp_path / "once" / "a.tif", Uneven(), inferer)
    assert np.abs(found.astype(int) - expected).max() <= 1
    with tifffile.TiffFile(tmp_path / "bands" / "a.tif") as file:
        page: Any = file.pages.first
        assert file.is_bigtiff is bigtiff
        assert page.photometric.name.lower() == photometric
        assert (page.tilelength, page.tilewidth) == (256, 256)
        assert (page.compression == tifffile.COMPRESSION.NONE) is (compression is None)
        assert len(page.dataoffsets) == 4
        assert page.dataoffsets[-1] + page.databytecounts[-1] == (tmp_path / "bands" / "a.tif").stat().st_size


def test_constant_image_stays(tmp_path: Path) -> None:
    pixels = np.full((50, 40), 7, "float32")
    source = write(tmp_path / "a.tif", pixels)
    found = in_bands(source, tmp_path / "b" / "a.tif", Uneven(), EnhancementInferer(1, 32), IntensityScaling())
    np.testing.assert_array_equal(found, pixels)


def test_the_network_is_in_evaluation_mode_for_as_long_as_it_runs(tmp_path: Path) -> None:
    network = Uneven().train()
    seen = []
    network.register_forward_hook(lambda module, *_: seen.append((module.training, torch.is_grad_enabled())))
    source = write(tmp_path / "a.tif", noise((40, 40)))
    in_bands(source, tmp_path / "b" / "a.tif", network, EnhancementInferer(1, 32))
    assert set(seen) == {(False, False)}
    assert network.training


def test_weights_are_loaded_before_the_first_image_and_only_if_there_is_one(tmp_path: Path) -> None:
    calls: list[str] = []
    arguments = (Uneven(), EnhancementInferer(1), LOAD, "cpu", lambda: calls.append("loaded"))
    LargeImages([], *arguments).run()
    assert calls == []
    source = write(tmp_path / "a.tif", noise((40, 40)))
    LargeImages([{"image": str(source), "output": str(tmp_path / "b" / "a.tif")}], *arguments).run()
    assert calls == ["loaded"]


@pytest.mark.parametrize(
    ("shape", "limit", "expected"),
    [
        ((10, 12), 119, True),
        ((10, 12), 120, False),
        ((10, 12), None, False),
        ((10, 12, 3), 119, True),
        ((10, 12, 3), 120, False),
        ((5, 10, 12), 1, False),
    ],
)
def test_is_large_tiff_counts_pixels_of_single_images(
    tmp_path: Path, shape: tuple[int, ...], limit: int | None, expected: bool
) -> None:
    photometric = "rgb" if shape[-1] == 3 else "minisblack"
    assert is_large_tiff(str(write(tmp_path / "a.TIFF", noise(shape), photometric=photometric)), limit) is expected


@pytest.mark.parametrize("name", ["a.png", "a.tif", "folder", "missing.tif"])
def test_is_large_tiff_never_raises(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    (tmp_path / "a.tif").write_bytes(b"II*\0damaged")
    (tmp_path / "folder").mkdir()
    assert is_large_tiff(str(tmp_path / name), 1) is False


@pytest.mark.parametrize(
    ("output", "network", "message"),
    [
        ("a.nii.gz", Uneven(), r"output_format: .*a\.tif is a large image, .* found a\.nii\.gz, expected .* 'same'"),
        ("a.tif", torch.nn.AvgPool2d(2), r"network_def: makes an image of shape \(1, 1, 20, 20\)"),
        ("a.tif", torch.nn.Conv2d(1, 2, 1), r"network_def: makes an image of shape \(1, 2, 40, 40\)"),
        ("a.tif", Uneven(gain=float("nan")), r"a\.tif: the network gave values that are not finite"),
    ],
)
def test_what_cannot_be_done_leaves_nothing_behind(
    tmp_path: Path, output: str, network: torch.nn.Module, message: str
) -> None:
    source = write(tmp_path / "a.tif", noise((40, 40)))
    with pytest.raises(InputError, match=message):
        in_bands(source, tmp_path / "b" / output, network, EnhancementInferer(1, 64))
    assert not (tmp_path / "b").exists() or not list((tmp_path / "b").iterdir())


def test_a_bad_header_is_found_before_the_first_image_is_enhanced(tmp_path: Path) -> None:
    items = []
    for name in ("a.tif", "b.tif"):
        source = write(tmp_path / name, noise((40, 40)))
        items.append({"image": str(source), "output": str(tmp_path / "out" / name)})
    (tmp_path / "b.tif").write_bytes(b"no TIFF at all")
    with pytest.raises(InputError, match=r"b\.tif: cannot be read as an image"):
        LargeImages(items, Uneven(), EnhancementInferer(1), LOAD, "cpu").run()
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_seen_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "a.tif", noise((600, 600)))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 2**20 // 4})())
    with pytest.raises(InputError, match=r"out/a\.tif: cannot be written: needs up to 1 MiB, found 0 MiB free"):
        in_bands(source, tmp_path / "out" / "a.tif", Uneven(), EnhancementInferer(1))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "dtype", "factor", "limit", "expected"),
    [
        ((10, 12, 5), "int16", 1, 599, True),
        ((10, 12, 5), "int16", 1, 600, False),
        ((10, 12, 5), "int16", 4, 9599, True),
        ((10, 12, 5), "int16", 4, 9600, False),
        ((10, 12, 5), "int16", 4, None, False),
        ((10, 12, 5, 2), "float64", 2, 4799, True),
        ((10, 12), "int16", 4, 1, False),
    ],
)
def test_is_large_volume_counts_voxels_of_the_result(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, factor: int, limit: int | None, expected: bool
) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", np.zeros(shape, dtype))
    assert is_large_volume(str(path), limit, factor) is expected


@pytest.mark.parametrize("name", ["a.png", "a.nii", "b.nii.gz", "folder", "missing.nii"])
def test_is_large_volume_never_raises(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    (tmp_path / "a.nii").write_bytes(b"\x5c\x01\0\0damaged")
    (tmp_path / "b.nii.gz").write_bytes(b"\x1f\x8bdamaged")
    (tmp_path / "folder").mkdir()
    assert is_large_volume(str(tmp_path / name), 1) is False


@pytest.mark.parametrize(("output_format", "expected"), [("same", True), ("nifti", True), ("png", False)])
def test_a_volume_is_large_where_it_stays_nifti(tmp_path: Path, output_format: str, expected: bool) -> None:
    source = save_nifti(tmp_path / "a.nii", noise((10, 12, 5)))
    for factor, grows in ((4, expected), (1, False)):
        (item,) = find_images(str(source), str(tmp_path / "out"), output_format, 9000, upscale_factor=factor)
        assert item["large"] is grows
