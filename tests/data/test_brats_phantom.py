"""The phantom BraTS: the layout of 2020, and tumours that have to be seen, not thresholded."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import interpolate

from shared.data import brats, dataset_dir, is_phantom
from shared.data.phantoms import PHANTOMS
from shared.data.phantoms import brats as phantom
from tests.data.brats_folders import phantom_brats  # noqa: F401

SECTIONS = ("training", "validation", "test")
CROP, BATCH, EPOCHS, LEARNING_RATE = 96, 8, 9, 3e-3


@pytest.fixture(scope="module")
def parts(phantom_brats: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Tensor, Tensor]]:  # noqa: F811
    """Slices and masks [N, 1, 96, 96] of each section."""
    load, cache = brats.LoadBraTSSliced(crop_size=CROP), tmp_path_factory.mktemp("cache")
    result = {}
    for section in SECTIONS:
        items = [load(item) for item in brats.datalist(phantom_brats, section, cache_dir=cache)]
        result[section] = torch.stack([i["label"] for i in items]), torch.stack([i["mask"] for i in items])
    return result


def held_out(parts: dict[str, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Slices of the two patients that do not train, and where the tumour's core is: enhancing rim and necrosis."""
    images, masks = (torch.cat([parts[section][place] for section in SECTIONS[1:]]) for place in (0, 1))
    return images, is_core(masks)


def is_core(masks: Tensor) -> Tensor:
    return ((masks == 1) | (masks == 3)).float()


def overlap(prediction: Tensor, truth: Tensor) -> float:
    """Intersection over union of class 1, from all pixels together."""
    both, either = (prediction * truth).sum(), ((prediction + truth) > 0).sum()
    return float(both / either)


def test_layout_is_that_of_2020(phantom_brats: Path) -> None:  # noqa: F811
    (top,) = phantom_brats.iterdir()
    assert top.name == "MICCAI_BraTS2020_TrainingData"
    cases = sorted(top.iterdir())
    assert len(cases) == len(phantom.CASES)
    for case in cases:
        mask = "W39_1998.09.19_Segm.nii" if case.name.endswith("355") else f"{case.name}_seg.nii.gz"
        names = {f"{case.name}_{modality}.nii.gz" for modality in brats.MODALITIES} | {mask}
        assert {path.name for path in case.iterdir()} == names
        labels = np.asarray(nibabel.load(case / mask).dataobj)
        assert np.array_equal(np.unique(labels), [0, 1, 2, 4])
        for name in names - {mask}:
            image = nibabel.load(case / name)
            values = np.asarray(image.dataobj)
            assert values.dtype == np.int16
            assert values.shape == labels.shape == (144, 144, 16)
            assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
            assert image.header.get_zooms() == (1, 1, 1)
            assert not labels[values == 0].any(), "0 is outside, a tumour is inside"
            assert 0.2 < (values > 0).mean() < 0.5
            assert not values[..., [0, -1]].any(), "no head in the first slice and the last"
            assert not values[[0, -1]].any()


def test_contrast_agent_lights_up_the_rim_alone(phantom_brats: Path) -> None:  # noqa: F811
    for case in sorted(phantom_brats.glob("*/*"))[:-1:4]:
        t1, t1ce, labels = (
            np.asarray(nibabel.load(case / f"{case.name}_{name}.nii.gz").dataobj).astype(float)
            for name in ("t1", "t1ce", "seg")
        )
        rim, core = (np.median(t1ce[labels == label]) / np.median(t1ce[t1ce > 0]) for label in (4, 1))
        assert rim > 1.3 * np.median(t1[labels == 4]) / np.median(t1[t1 > 0])
        assert core < 0.6


def test_writing_twice_gives_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom, "CASES", (3, 355))
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        phantom.write(tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert len(contents[0]) == 10
    assert contents[0] == contents[1]


def test_it_stands_in_for_missing_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONAI_DATA_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(phantom, "CASES", (1, 2, 355))
    folder = dataset_dir("brats")
    assert is_phantom(folder)
    assert Path(folder).name == f"phantom-brats-v{PHANTOMS['brats'].version}"
    items = brats.datalist(folder, "training", crop_size=128)
    assert brats.LoadBraTSSliced(crop_size=128)(items[0])["mask"].shape == (1, 128, 128)


def test_each_section_has_slices_with_and_without_tumour(parts: dict[str, tuple[Tensor, Tensor]]) -> None:
    for images, masks in parts.values():
        assert len(images) >= 10
        with_tumour = (masks > 0).flatten(1).any(1).float().mean()
        assert 0.3 < with_tumour < 1
        assert images.min() == 0
        assert images.max() == 1


@pytest.mark.parametrize("blur", [0, 1, 2])
def test_no_band_of_intensities_is_the_core(parts: dict[str, tuple[Tensor, Tensor]], blur: int) -> None:
    """The best band for the held-out slices themselves; a network reaches 0.7 (below)."""
    images, truth = held_out(parts)
    smooth = torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, blur, blur)))
    edges = np.linspace(0.05, 1.01, 17)
    bands = [(low, high) for low in edges for high in edges if low < high]
    best = max(overlap(((smooth > low) & (smooth <= high)).float(), truth) for low, high in bands)
    assert best < 0.35


def test_where_tumours_are_on_average_is_not_enough(parts: dict[str, tuple[Tensor, Tensor]]) -> None:
    frequency, (_, truth) = is_core(parts["training"][1]).mean(0, keepdim=True), held_out(parts)
    guesses = [(frequency > level).float().expand_as(truth) for level in np.linspace(0, 0.5, 21)]
    best = max(overlap(guess, truth) for guess in guesses)
    assert best < 0.2


@pytest.mark.slow
def test_a_network_finds_the_core_until_resolution_is_lost(parts: dict[str, tuple[Tensor, Tensor]]) -> None:
    torch.manual_seed(0)
    images, masks = parts["training"][0], is_core(parts["training"][1])
    network = UNet(2, 1, 2, channels=(16, 32, 64, 128), strides=(2, 2, 2), num_res_units=1, norm="BATCH")
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps + 1)
    loss_function = DiceCELoss(softmax=True, to_onehot_y=True)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            flips = [axis for axis in (2, 3) if torch.rand(()) < 0.5]
            loss = loss_function(network(images[batch].flip(flips)), masks[batch].flip(flips))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    clean, truth = held_out(parts)
    small = interpolate(clean, scale_factor=0.25, mode="bicubic", antialias=True)
    small = (small + 0.05 * torch.randn(small.shape)).clamp(0, 1)
    enlarged = interpolate(small, size=clean.shape[-2:], mode="bicubic").clamp(0, 1)
    network.eval()
    with torch.no_grad():
        found, degraded = (overlap(network(x).argmax(1, keepdim=True).float(), truth) for x in (clean, enlarged))
    print(f"IoU: clean {found:.3f}, a quarter of the resolution with noise of 0.05 {degraded:.3f}")
    assert found >= 0.7
    assert degraded <= found - 0.15
