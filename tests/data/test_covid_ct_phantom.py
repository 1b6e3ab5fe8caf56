from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import grey_opening

from shared.data import covid_ct
from shared.data.loading import read_image
from shared.data.phantoms import covid_ct as phantom
from shared.data.phantoms import lung

SECTIONS = ("training", "validation", "test")
CLASSES = ("COVID", "NonCOVID")


def test_layout_and_traps_are_those_of_the_real_set(phantom_covid_ct: Path) -> None:
    assert {path.name for path in phantom_covid_ct.iterdir()} == {
        "Images-processed", "Data-split", "COVID-CT-MetaInfo.xlsx", "README.md",
    }
    assert "Synthetic" in (phantom_covid_ct / "README.md").read_text()
    lists = {path.stem: path.read_bytes() for path in phantom_covid_ct.glob("Data-split/*/*.txt")}
    assert set(lists) == {f"{word}CT_{name}" for word in ("train", "val", "test") for name in CLASSES}
    for name, content in lists.items():
        assert (b"\r\n" in content) == name.endswith("NonCOVID")
    assert sum(content.endswith(b"\n") for content in lists.values()) == 1
    named = {line for content in lists.values() for line in content.decode().split()}
    paths = list(phantom_covid_ct.glob("Images-processed/CT_*/*"))
    assert {path.name for path in paths} == named
    assert len(paths) == len(named)
    assert 150 <= len(paths) <= 250
    for name in CLASSES:
        assert any("%" in path.name for path in paths if path.parent.name == f"CT_{name}")
    png, jpg = (
        {re.split("[.%]", path.name)[0] for path in paths if path.match(f"CT_NonCOVID/*{extension}")}
        for extension in (".png", ".jpg")
    )
    assert png & jpg


def test_modes_formats_and_sizes_are_mixed(phantom_covid_ct: Path) -> None:
    for name in CLASSES:
        found = set()
        sizes = set()
        for path in phantom_covid_ct.glob(f"Images-processed/CT_{name}/*"):
            with Image.open(path) as image:
                found.add((path.suffix, image.format, image.mode))
                sizes.add(image.size)
        assert {(".png", "PNG", mode) for mode in ("RGBA", "RGB", "L")} <= found
        assert (".png", "JPEG", "L") in found or (".png", "JPEG", "RGB") in found
        assert len(sizes) == 5
        assert min(min(size) for size in sizes) >= 96
        assert max(max(size) for size in sizes) <= 160


def test_official_lists_are_balanced_and_split_no_patient(phantom_covid_ct: Path) -> None:
    parts = [covid_ct.datalist(phantom_covid_ct, section) for section in SECTIONS]
    groups = [{item["group"] for item in part} for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 2 * sum(phantom.PATIENTS.values())
    for part in parts:
        assert np.mean([item["class"] for item in part]) == 0.5
    counts = Counter(item["group"] for part in parts for item in part)
    assert set(counts.values()) == {1, 2, 3}
    assert sum(group.startswith("COVID/Patient ") for group in counts) == sum(phantom.PATIENTS.values())


@pytest.mark.parametrize("finding", lung.FINDINGS)
def test_slices_of_a_patient_differ_but_share_their_anatomy(finding: str) -> None:
    rng = np.random.default_rng(0)
    patients = [lung.random_patient(rng, finding) for _ in range(4)]
    first, second = (np.stack([lung.draw(patient, rng, 96, 120) for patient in patients]) for _ in range(2))
    assert first.shape == (4, 96, 120)
    assert 0 <= first.min() <= 0.02
    assert 0.8 < first.max() <= 1
    for image, other in zip(first, second, strict=True):
        assert np.abs(image - other).max() > 0.2
        assert np.corrcoef(image.ravel(), other.ravel())[0, 1] > 0.75


def test_opacities_are_hazy_patches_and_lines_are_thin(phantom_covid_ct: Path) -> None:
    """Opening with a square of a tenth of the height keeps patches and removes lines."""
    kept: dict[int, list[float]] = {0: [], 1: []}
    for item in covid_ct.datalist(phantom_covid_ct, "test"):
        image = read_image(item["label"], channels=1, size=(96, 96))[0].numpy()
        lungs = np.s_[24:72, 12:32]
        kept[item["class"]].append(float(grey_opening(image, 9)[lungs].std() / image[lungs].std()))
    assert np.mean(kept[1]) > 1.2 * np.mean(kept[0])


def test_writing_twice_gives_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom, "PATIENTS", {"train": 3, "val": 1, "test": 1})
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        phantom.write(tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert len(contents[0]) > 20
    assert contents[0] == contents[1]
