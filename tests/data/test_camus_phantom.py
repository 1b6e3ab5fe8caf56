"""The phantom CAMUS: the real layout, and cavities that have to be seen, not thresholded."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from scipy.ndimage import gaussian_filter
from torch import Tensor

from shared.data import camus
from shared.data.loading import LoadUnitImaged
from shared.data.phantoms import camus as phantom
from shared.images import IntensityScaling
from tests.once import made_once

SECTIONS = ("training", "validation", "test")
SIZE, BATCH, EPOCHS, LEARNING_RATE = 64, 16, 12, 3e-3


@pytest.fixture(scope="session")
def phantom_camus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "phantom_camus", phantom.write)


@pytest.fixture(scope="module")
def parts(phantom_camus: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Images and cavity masks [N, 1, 64, 64] of each section."""
    load = LoadUnitImaged(channels=1, mask_kind="index", mask_class=1, size=SIZE, scaling=IntensityScaling("bits"))
    result = {}
    for section in SECTIONS:
        items = [load(item) for item in camus.datalist(phantom_camus, section)]
        result[section] = torch.stack([i["label"] for i in items]), torch.stack([i["mask"] for i in items])
    return result


def mean_iou(prediction: Tensor, truth: Tensor) -> float:
    """Over cavity and the rest, from all pixels together."""
    shares = [
        ((prediction == value) & (truth == value)).sum() / ((prediction == value) | (truth == value)).sum()
        for value in (0, 1)
    ]
    return float(sum(shares) / 2)


def test_layout_is_that_of_the_new_archive(phantom_camus: Path) -> None:
    assert {path.name for path in phantom_camus.iterdir()} == {"database_nifti", "database_split"}
    folders = sorted((phantom_camus / "database_nifti").iterdir())
    assert len(folders) == phantom.PATIENTS
    frames = {f"{view}_{phase}{gt}.nii.gz" for view in camus.VIEWS for phase in camus.PHASES for gt in ("", "_gt")}
    for folder in folders:
        names = {path.name for path in folder.iterdir()}
        assert names == {f"{folder.name}_{frame}" for frame in frames} | {"Info_2CH.cfg", "Info_4CH.cfg"}
    texts = [path.read_bytes().decode() for path in (phantom_camus / "database_nifti").glob("*/*.cfg")]
    assert all(re.fullmatch(r"(\w+: \w+(\r?\n|$))+", text) for text in texts)
    assert sum("\r\n" in text for text in texts) == phantom.PATIENTS
    keys = {line.split(":")[0] for text in texts for line in text.split()[::2]}
    assert keys == {"ED", "ES", "NbFrame", "Sex", "Age", "ImageQuality", "EF", "FrameRate"}


def test_split_files_decide_and_keep_patients_whole(phantom_camus: Path) -> None:
    parts = [camus.datalist(phantom_camus, section) for section in SECTIONS]
    assert [len(part) for part in parts] == [4 * count for count in (48, phantom.VALIDATION, phantom.TEST)]
    groups = [{item["group"] for item in part} for part in parts]
    assert len(set.union(*groups)) == sum(map(len, groups)) == phantom.PATIENTS
    listed = (phantom_camus / "database_split" / "subgroup_testing.txt").read_text().split()
    assert groups[2] == set(listed)
    counts = Counter(item["quality"] for part in parts for item in part)
    assert set(counts) == set(camus.QUALITIES)
    assert 0.1 < counts["Poor"] / counts.total() < 0.3


def test_frames_are_fans_of_speckle_with_all_labels(phantom_camus: Path) -> None:
    paths = sorted((phantom_camus / "database_nifti").glob("*/*_ED.nii.gz"))[::5]
    for path in paths:
        pixels = np.asarray(nibabel.load(path).dataobj)
        labels = np.asarray(nibabel.load(str(path).replace("_ED", "_ED_gt")).dataobj)
        assert pixels.dtype == labels.dtype == np.uint8
        assert pixels.shape == labels.shape
        assert pixels.shape[0] <= pixels.shape[1] <= 160, "the stored axes are (W, H), and no fan is wider than high"
        assert set(np.unique(labels)) == {0, 1, 2, 3}
        top, bottom = pixels[:, :8], pixels[:, -pixels.shape[1] // 3 : -pixels.shape[1] // 6]
        assert (top > 0).mean() < 0.1 < 0.6 < (bottom > 0).mean()
        rows = [np.nonzero(labels == value)[1].mean() for value in (1, 3)]
        assert rows[0] < rows[1], "the atrium lies below the ventricle"
        inside = pixels[labels == 2].astype(float)
        assert 0.25 < inside.std() / inside.mean() < 0.9, "speckle is multiplicative"


def test_systole_has_the_smaller_cavity(phantom_camus: Path) -> None:
    for folder in sorted((phantom_camus / "database_nifti").iterdir())[::8]:
        for view in camus.VIEWS:
            areas = [
                (np.asarray(nibabel.load(folder / f"{folder.name}_{view}_{phase}_gt.nii.gz").dataobj) == 1).sum()
                for phase in camus.PHASES
            ]
            assert areas[1] < 0.95 * areas[0]


def test_writing_twice_gives_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in {"PATIENTS": 5, "VALIDATION": 1, "TEST": 1}.items():
        monkeypatch.setattr(phantom, name, count)
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        phantom.write(tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert len(contents[0]) == 5 * 10 + 3
    assert contents[0] == contents[1]


@pytest.mark.parametrize("blur", [0, 1, 2])
def test_no_band_of_intensities_is_the_cavity(parts: dict[str, tuple[Tensor, Tensor]], blur: int) -> None:
    """The best band for the test images themselves; a network reaches 0.75 (below)."""
    images, truth = parts["test"]
    smooth = torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, blur, blur)))
    edges = np.linspace(0, 0.6, 19)
    bands = [(low, high) for low in edges for high in edges if low < high]
    assert max(mean_iou(((smooth > low) & (smooth <= high)).float(), truth) for low, high in bands) < 0.6


def test_where_cavities_are_on_average_is_not_enough(parts: dict[str, tuple[Tensor, Tensor]]) -> None:
    frequency, truth = parts["training"][1].mean(0, keepdim=True), parts["test"][1]
    guesses = [(frequency > level).float().expand_as(truth) for level in np.linspace(0.1, 0.9, 17)]
    assert max(mean_iou(guess, truth) for guess in guesses) < 0.68


@pytest.mark.slow
def test_a_network_finds_the_cavity_until_noise_hides_it(parts: dict[str, tuple[Tensor, Tensor]]) -> None:
    torch.manual_seed(0)
    images, masks = parts["training"]
    network = UNet(2, 1, 2, channels=(16, 32, 64, 128, 128), strides=(2, 2, 2, 2), num_res_units=1, norm="BATCH")
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    steps = EPOCHS * (len(images) // BATCH)
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

    clean, truth = parts["test"]
    noisy = (clean + 0.3 * torch.randn(clean.shape)).clamp(0, 1)
    network.eval()
    with torch.no_grad():
        found, degraded = (mean_iou(network(x).argmax(1, keepdim=True), truth) for x in (clean, noisy))
    print(f"mean IoU: clean {found:.3f}, sigma 0.3 {degraded:.3f}")
    assert found >= 0.75
    assert degraded <= found - 0.15
