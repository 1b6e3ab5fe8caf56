"""A large volume comes out of its slabs as it comes out of memory: the same file."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from nibabel.openers import ImageOpener
from nibabel.orientations import inv_ornt_aff
from numpy.typing import NDArray
from torch import nn

from shared.images import IntensityScaling, write_picture
from shared.images.nifti import RGB24
from shared.images.picture import SourceRecord
from shared.inference import EnhancementInferer, LargeImages, LoadSourced, RestoreSourced
from shared.networks import RIRGenerator
from tests.images.nifti_files import TILTED, save_nifti
from tests.inference.large.case import Uneven, noise

PLANES = ("axial", "coronal", "sagittal")
ODD = (37, 31, 5)
RULES = [
    IntensityScaling(),
    IntensityScaling("minmax"),
    IntensityScaling("window", -3, 60),
    IntensityScaling("bits"),
]


def in_slabs(
    source: Path, folder: Path, network: nn.Module, inferer: EnhancementInferer, load: LoadSourced | None = None
) -> Path:
    """Enhance as a large volume."""
    item = {"image": str(source), "output": str(folder / source.name), "large": True}
    LargeImages([item], network, inferer, load or LoadSourced("image"), "cpu").run()
    return folder / source.name


def at_once(
    source: Path, folder: Path, network: nn.Module, inferer: EnhancementInferer, load: LoadSourced | None = None
) -> Path:
    """Enhance as an ordinary image."""
    data = (load or LoadSourced("image"))({"image": str(source)})
    with torch.no_grad():
        data["pred"] = inferer(data["image"][None], network.eval())[0]
    data = RestoreSourced("pred")(data)
    write_picture(str(folder / source.name), data["pred"], SourceRecord.from_json(data["image_record"]))
    return folder / source.name


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def stored(path: Path) -> NDArray:
    return np.asanyarray(nibabel.Nifti1Image.from_filename(path).dataobj.get_unscaled())


def colour(*shape: int) -> NDArray:
    image = np.empty(shape, RGB24)
    for name in "RGB":
        image[name] = noise(shape)
    return image


def rough(shape: tuple[int, ...]) -> NDArray:
    """A float volume with gaps, a hot voxel, and a constant border that is not 0."""
    values = noise(shape, "float32") * 90 - 7
    values[:3] = values[:, :2] = values.min()
    values[5, 6, -1], values[10:12, 8] = 1e6, np.nan
    return values


VOLUMES: dict[str, Callable[[], NDArray]] = {
    "uint8": lambda: noise(ODD),
    "int16": lambda: noise(ODD, "int16"),
    "float64": lambda: noise(ODD, "float64"),
    "gaps": lambda: rough(ODD),
    "RGB": lambda: colour(*ODD),
    "time series": lambda: noise((13, 11, 5, 3), "int16"),
    "one slice": lambda: noise((37, 31, 1), "int16"),
    "thin along x": lambda: noise((1, 31, 37), "int16"),
    "constant": lambda: np.full(ODD, 7, np.int16),
}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("kind", VOLUMES)
def test_slabs_give_the_file_that_one_pass_gives(tmp_path: Path, kind: str, plane: str, suffix: str) -> None:
    source = save_nifti(tmp_path / f"a{suffix}", VOLUMES[kind](), scale=(0.5, 3))
    network, load = Uneven(1, 4), LoadSourced("image", plane=plane)
    inferer = EnhancementInferer(1, roi_size=16, sw_batch_size=2)
    found = in_slabs(source, tmp_path / "slabs", network, inferer, load)
    assert content(found) == content(at_once(source, tmp_path / "once", network, inferer, load))
    assert list(found.parent.iterdir()) == [found]


@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize(("channels", "kind"), [(1, "RGB"), (3, "RGB"), (3, "int16")])
def test_channels_and_batches(tmp_path: Path, kind: str, channels: int, batch: int) -> None:
    source = save_nifti(tmp_path / "a.nii", VOLUMES[kind]())
    network, inferer = Uneven(channels, 2), EnhancementInferer(channels, 20, batch, divisible_by=4)
    found, expected = (way(source, tmp_path / way.__name__, network, inferer) for way in (in_slabs, at_once))
    assert content(found) == content(expected)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("slope", [1.0, -2.0])
def test_intensities_are_those_of_the_whole(tmp_path: Path, rule: IntensityScaling, slope: float) -> None:
    source = save_nifti(tmp_path / "a.nii.gz", rough((40, 30, 11)), scale=(slope, 5))
    load, network, inferer = LoadSourced("image", rule), Uneven(), EnhancementInferer(1, 64)
    found, expected = (way(source, tmp_path / way.__name__, network, inferer, load) for way in (in_slabs, at_once))
    assert content(found) == content(expected)
    values = stored(found)
    assert np.isnan(values).sum() == 2 * 11
    assert values[5, 6, -1] == 1e6


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("transpose", [False, True])
def test_the_network_sees_slices_the_same_way_round(
    tmp_path: Path, order: tuple[int, ...], flips: tuple[int, ...], transpose: bool
) -> None:
    affine = TILTED @ inv_ornt_aff(np.stack([order, flips], axis=1), (9, 8, 7))
    source = save_nifti(tmp_path / "a.nii", noise((9, 8, 7), "int16"), affine)
    load, network, inferer = LoadSourced("image", transpose=transpose), Uneven(1, 2), EnhancementInferer(1, 64)
    found, expected = (way(source, tmp_path / way.__name__, network, inferer, load) for way in (in_slabs, at_once))
    assert content(found) == content(expected)


def test_a_real_network_gives_the_same_up_to_rounding(tmp_path: Path) -> None:
    """Convolutions may add up in another order in a batch of another size."""
    torch.manual_seed(0)
    network, inferer = RIRGenerator(num_blocks=1, features=8), EnhancementInferer(3, 16)
    source = save_nifti(tmp_path / "a.nii", noise((20, 18, 7), "float32"))
    found, expected = (stored(way(source, tmp_path / way.__name__, network, inferer)) for way in (in_slabs, at_once))
    assert found.shape == (80, 72, 7)
    np.testing.assert_allclose(found, expected, atol=2e-6, rtol=0)


class Passes(nn.Module):
    """A network that remembers what it saw and adds something to everything."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += list(images)
        return images.repeat_interleave(4, 2).repeat_interleave(4, 3) * 0.5 + 0.25


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("background", [0, -30])
def test_empty_slices_stay_as_they_are_and_change_no_other(
    tmp_path: Path, capsys: Any, background: int, plane: str
) -> None:
    axis = PLANES[::-1].index(plane)
    full = np.moveaxis(noise((11, 13, 12), "uint8").astype(np.int16), 0, axis)
    holed, index = full.copy(), [slice(None)] * 3
    empty = [0, 1, 2, 6, 10]
    for number in empty:
        index[axis] = slice(number, number + 1)
        holed[tuple(index)] = background
    # Brighter than the background, be it by one: this one is enhanced.
    index[axis] = slice(4, 5)
    holed[tuple(index)] = background + 1
    load, inferer = LoadSourced("image", IntensityScaling("window", -30, 300), plane), EnhancementInferer(1, 64)
    results, networks = [], [Passes(), Passes()]
    for values, network, name in zip((full, holed), networks, ("full", "holed"), strict=True):
        source = save_nifti(tmp_path / f"{name}.nii", values, np.eye(4))
        results.append(np.moveaxis(stored(in_slabs(source, tmp_path / "out", network, inferer, load)), axis, 0))
    # One image more than slices tells the factor of enlargement.
    assert [len(network.seen) for network in networks] == [12, 7]
    others = [number for number in range(11) if number not in [*empty, 4]]
    assert (results[1][empty] == background).all()
    assert (results[1][4] > background + 1).all()
    np.testing.assert_array_equal(results[1][others], results[0][others])
    assert "holed.nii: enhanced 11 slices of " in (told := capsys.readouterr().err)
    assert "voxels, 5 of them empty, in " in told


def test_a_volume_without_content_stays(tmp_path: Path) -> None:
    source = save_nifti(tmp_path / "a.nii", np.full((6, 5, 4), 3.5, np.float32))
    network = Passes()
    np.testing.assert_array_equal(stored(in_slabs(source, tmp_path, network, EnhancementInferer(1))), 3.5)


@pytest.mark.parametrize("plane", PLANES)
def test_a_network_for_large_slices_alone_takes_those_of_a_few(tmp_path: Path, plane: str) -> None:
    """It never sees another cut of the volume, which would be too thin for it."""
    axis = PLANES[::-1].index(plane)
    source = save_nifti(tmp_path / "a.nii", np.moveaxis(noise((2, 11, 12)), 0, axis), np.eye(4))
    load, network = LoadSourced("image", plane=plane), nn.Sequential(nn.ReflectionPad2d(5), nn.Conv2d(1, 1, 11))
    found, expected = (
        way(source, tmp_path / way.__name__, network, EnhancementInferer(1), load) for way in (in_slabs, at_once)
    )
    np.testing.assert_allclose(stored(found), stored(expected), atol=1)


def test_what_is_said_about_a_volume(tmp_path: Path) -> None:
    values = np.linspace(0, 4000, 12 * 11 * 10, dtype=np.float32).reshape(12, 11, 10)
    values[0, 0, 0] = np.nan
    item = {"image": str(save_nifti(tmp_path / "a.nii", values)), "output": str(tmp_path / "out" / "a.nii")}
    network = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(network.weight, 0.2)
    result = LargeImages([item], network, EnhancementInferer(1), LoadSourced("image"), "cpu").enhance(item)
    assert (result.width, result.height, result.slices, result.channels) == (12, 11, 10, 1)
    assert result.scaling.startswith("percentiles 0.1 and 99.9: ")
    assert result.notes[0] == "1 of 1320 values are NaN: taken for padding and kept"
    assert result.notes[1].startswith("the result changed more than noise removal explains: its contrast fell to 20%")


def test_memory_that_slices_along_another_axis_take_is_told(tmp_path: Path, capsys: Any) -> None:
    source = save_nifti(tmp_path / "a.nii", noise((128, 128, 64), "float32"), np.eye(4))
    network, inferer = nn.Identity(), EnhancementInferer(1)
    in_slabs(source, tmp_path / "out", network, inferer, LoadSourced("image", plane="coronal"))
    assert "a.nii: slices along axis 2 of the file, 4 MiB held in memory" in capsys.readouterr().err
    in_slabs(source, tmp_path / "out", network, inferer)
    assert "held in memory" not in capsys.readouterr().err


def test_a_compressed_file_is_unpacked_once_in_a_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step back in such a file means to unpack it from its beginning: one to each pass, and none in between."""
    places: list[int] = []
    read = ImageOpener.read
    monkeypatch.setattr(ImageOpener, "read", lambda self, *args: (places.append(self.tell()), read(self, *args))[1])
    source = save_nifti(tmp_path / "a.nii.gz", noise((20, 20, 9, 2), "int16"))
    in_slabs(source, tmp_path / "out", Uneven(), EnhancementInferer(1, sw_batch_size=2))
    # Behind the header; the passes are for the range, the percentiles and the enhancement.
    begins = [after for before, after in pairwise(place for place in places if place >= 352) if after < before]
    assert begins == [352, 352]
    assert len(places) > 3 * 2 * 5
