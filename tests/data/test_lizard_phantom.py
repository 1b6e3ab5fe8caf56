from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat
from scipy.ndimage import center_of_mass

from shared.data import lizard
from shared.data.label_maps import read_class_map
from shared.data.phantoms import lizard as phantom
from shared.data.splits import SECTIONS

FOLDERS = ["lizard_images1/Lizard_Images1", "lizard_images2/Lizard_Images2", "lizard_labels/Lizard_Labels/Labels"]


def test_layout_is_that_of_the_real_archives(phantom_lizard: Path) -> None:
    files = {folder: sorted((phantom_lizard / folder).iterdir()) for folder in FOLDERS}
    stems = [{path.stem for path in paths} for paths in files.values()]
    assert stems[0] | stems[1] == stems[2]
    assert not stems[0] & stems[1]
    assert {path.suffix for path in files[FOLDERS[0]]} == {".png"}
    assert {path.suffix for path in files[FOLDERS[2]]} == {".mat"}
    table = (phantom_lizard / "lizard_labels" / "Lizard_Labels" / "info.csv").read_bytes().decode()
    assert table.startswith("Filename,Source,Split\r\n")
    sizes = {Image.open(path).size for folder in FOLDERS[:2] for path in files[folder]}
    assert len(sizes) > 4
    assert min(map(min, sizes)) == 256


def test_tables_have_the_traps_of_the_real_ones(phantom_lizard: Path) -> None:
    shuffled = gaps = 0
    for path in sorted((phantom_lizard / FOLDERS[2]).iterdir())[::12]:
        tables = loadmat(path)
        instances, ids = tables["inst_map"], tables["id"].ravel()
        count = len(ids)
        assert instances.dtype == np.int32
        shapes = {key: tables[key].shape for key in ("id", "class", "bbox", "centroid")}
        assert shapes == {"id": (count, 1), "class": (count, 1), "bbox": (count, 4), "centroid": (count, 2)}
        assert set(np.unique(instances)) == {0, *ids}
        shuffled += not np.array_equal(ids, np.sort(ids))
        gaps += ids.max() > count
        top, bottom, left, right = tables["bbox"][5]
        rows, columns = np.nonzero(instances == ids[5])
        assert (top, bottom, left, right) == (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
        expected = np.array(center_of_mass(np.ones_like(instances), instances, ids))[:, ::-1]
        np.testing.assert_allclose(tables["centroid"], expected)
    assert shuffled == gaps == 4


def test_classes_are_balanced_and_nuclei_are_dark(phantom_lizard: Path) -> None:
    items = [item for section in SECTIONS for item in lizard.datalist(phantom_lizard, section, "both", 64)]
    counts = Counter(item["class"] for item in items)
    assert len(counts) == 6
    assert max(counts.values()) < 1.4 * min(counts.values())
    for item in items[::90]:
        image = np.asarray(Image.open(item["label"])).mean(axis=2)
        nuclei = read_class_map(item["mask"]) > 0
        assert 0.15 < nuclei.mean() < 0.6
        assert image[nuclei].mean() < image[~nuclei].mean() - 20


def test_writing_twice_gives_equal_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom, "IMAGES", 3)
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        phantom.write(tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        # MATLAB files begin with a text that holds the time.
        contents.append({path.relative_to(tmp_path / name): path.read_bytes()[128:] for path in files})
    assert len(contents[0]) == 7
    assert contents[0] == contents[1]
