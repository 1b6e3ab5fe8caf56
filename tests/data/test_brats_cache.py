"""The decoded slices of BraTS: written once, whole or not at all, and never a volume in an epoch."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset

from shared import console, distributed
from shared.data import brats_cache
from shared.data.brats import LoadBraTSSliced, datalist
from shared.data.brats_files import Case, find_cases
from shared.errors import InputError
from shared.images import IntensityScaling
from tests.data.brats_folders import SHAPE, labels, save, volume, write_brats

CROP = 16


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_brats(tmp_path / "data")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded from now on, but for the masks."""
    names: list[str] = []
    read = brats_cache.read_picture

    def noted(path: str, labels: bool = False) -> Any:
        if not labels:
            names.append(Path(path).name)
        return read(path, labels)

    monkeypatch.setattr(brats_cache, "read_picture", noted)
    return names


def folders(cache: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in (cache / "brats-v1").iterdir())


def test_an_epoch_opens_no_volume(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = datalist(root, "training", crop_size=CROP)
    load = LoadBraTSSliced(crop_size=CROP)
    expected = [load(item) for item in items]

    def refuse(*arguments: Any, **_: Any) -> None:
        raise AssertionError(f"{arguments[0]} was opened")

    monkeypatch.setattr(brats_cache, "read_picture", refuse)
    monkeypatch.setattr(nibabel.Nifti1Image, "from_filename", refuse)
    shutil.rmtree(root)
    brats_cache.cached_case.cache_clear()
    batches = list(DataLoader(Dataset(items, LoadBraTSSliced(crop_size=CROP)), batch_size=1))
    assert len(batches) == len(items) == 18
    for batch, item in zip(batches, expected, strict=True):
        assert torch.equal(batch["label"][0], item["label"])
        assert torch.equal(batch["mask"][0], item["mask"])


def test_each_file_is_decoded_once_and_anew_when_it_has_changed(root: Path, decoded: list[str]) -> None:
    parts = [datalist(root, section, crop_size=CROP) for section in ("training", "validation", "test")]
    cases = sorted({item["group"] for part in parts for item in part})
    assert sorted(decoded) == [f"{case}_t1ce.nii.gz" for case in cases]
    decoded.clear()
    assert datalist(root, "training", crop_size=12)  # another crop
    LoadBraTSSliced(scaling=IntensityScaling("minmax"))(parts[0][0])  # another rule
    assert decoded == []
    path = parts[0][0]["label"]
    save(Path(path), volume(9, "t1ce"))
    items = datalist(root, "training", crop_size=CROP)
    assert decoded == [Path(path).name]
    place = items[2]["slice"]
    found = LoadBraTSSliced(scaling=IntensityScaling("window", 0, 2000))(items[2])["label"][0]
    np.testing.assert_allclose(found, volume(9, "t1ce")[:, :, place].T[::-1] / 2000, rtol=0, atol=1e-6)
    os.utime(parts[1][0]["mask"])
    datalist(root, "validation", crop_size=CROP)
    assert decoded[1:] == [Path(parts[1][0]["label"]).name]


def test_only_the_cases_of_a_section_are_decoded(root: Path, tmp_path: Path) -> None:
    (case,) = {item["group"] for item in datalist(root, "test", crop_size=CROP)}
    assert folders(tmp_path / "user" / "enhancement-bundles") == [case]


def test_a_run_that_breaks_off_is_gone_on_with(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved, save_array = [], np.save

    def interrupted(path: Path, array: Any) -> None:
        saved.append(path)
        if len(saved) == 4:  # the mask of the second case
            raise KeyboardInterrupt
        save_array(path, array)

    monkeypatch.setattr(np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        datalist(root, "training", crop_size=CROP, cache_dir=tmp_path / "own")
    cases = [case.name for case in find_cases(root)]
    (first,) = folders(tmp_path / "own")
    assert first in cases
    items = datalist(root, "training", crop_size=CROP, cache_dir=tmp_path / "own")
    assert len(saved) == 4 + 4
    assert folders(tmp_path / "own") == sorted({item["group"] for item in items})
    assert all(Path(item["cached"]).is_relative_to(tmp_path / "own") for item in items)


def test_two_at_once_do_no_harm(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    barrier, read = threading.Barrier(2), brats_cache._read
    found: list[Any] = []

    def together(path: str, *arguments: Any, **options: Any) -> Any:
        barrier.wait(timeout=20)
        return read(path, *arguments, **options)

    monkeypatch.setattr(brats_cache, "_read", together)
    threads = [
        threading.Thread(target=lambda: found.append(datalist(root, "training", crop_size=CROP))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] == found[1]
    assert folders(tmp_path / "user" / "enhancement-bundles") == sorted({item["group"] for item in found[0]})
    assert LoadBraTSSliced()(found[0][2])["mask"].max() == 3


def test_processes_of_a_run_begin_at_different_cases(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, orders = find_cases(root), []
    for rank in range(2):
        built: list[str] = []
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(distributed, "world_size", lambda: 2)
        monkeypatch.setattr(brats_cache, "_build", lambda case, folder, built=built: built.append(case.name))
        brats_cache.cache_cases(cases, tmp_path / str(rank))
        orders.append([int(name[-3:]) for name in built])
    assert orders == [[1, 2, 3, 4, 5], [3, 4, 5, 1, 2]]


def full_disk(path: Path, array: Any) -> None:
    Path(path).write_bytes(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_error_and_leaves_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "save", full_disk)
    with pytest.raises(InputError, match="cache_dir: case 'BraTS20_.*No space left on device; .* MB") as caught:
        datalist(root, "test", crop_size=CROP)
    assert "\n" not in str(caught.value)
    assert folders(tmp_path / "user" / "enhancement-bundles") == []


def test_a_cache_that_cannot_be_made_and_one_that_was_changed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/brats-v1 cannot be made: Not a directory"):
        datalist(root, "test", crop_size=CROP, cache_dir=tmp_path / "file")
    item = datalist(root, "test", crop_size=CROP)[0]
    array = Path(item["cached"]) / "image.npy"
    array.write_bytes(array.read_bytes()[:200])
    with pytest.raises(InputError, match=r"image.npy' cannot be read \(.*\): delete its folder, start again"):
        LoadBraTSSliced(scaling=IntensityScaling("minmax"))(item)
    shutil.rmtree(item["cached"])
    brats_cache.cached_case.cache_clear()
    with pytest.raises(InputError, match="facts.json cannot be read: No such file"):
        LoadBraTSSliced()(item)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_cache_that_others_filled_may_be_read_only(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    items = datalist(root, "test", crop_size=CROP, cache_dir=tmp_path / "theirs")
    load = LoadBraTSSliced(scaling=IntensityScaling("percentile", 5, 95))
    in_the_own = datalist(root, "test", crop_size=CROP)[1]
    expected = datalist(root, "test", crop_size=12), load(in_the_own)
    files = sorted((tmp_path / "theirs").rglob("*"))

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    for name in ("write_bytes", "write_text", "mkdir"):
        monkeypatch.setattr(Path, name, refuse)
    brats_cache.cached_case.cache_clear()
    found = datalist(root, "test", crop_size=12, cache_dir=tmp_path / "theirs")
    assert [item["id"] for item in found] == [item["id"] for item in expected[0]]
    assert torch.equal(load(items[1])["label"], expected[1]["label"])
    assert sorted((tmp_path / "theirs").rglob("*")) == files


def test_a_waiting_person_is_told(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(console, "PLAIN_SECONDS", -1.0)
    datalist(root, "training", crop_size=CROP)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"brats: {number} of 3 cases decoded" for number in (1, 2, 3)]
    datalist(root, "training", crop_size=CROP)
    assert capsys.readouterr().err == ""


def test_only_what_is_not_empty_is_kept(tmp_path: Path) -> None:
    image, mask = volume(1, "t1"), labels(1)
    mask[0, 0, 0] = 4  # outside the head, and lost with a box of the image alone
    for name, values in (("image", image), ("mask", mask)):
        save(tmp_path / f"{name}.nii.gz", values)
    case = Case("case", str(tmp_path / "image.nii.gz"), str(tmp_path / "mask.nii.gz"))
    folder = Path(brats_cache.cache_cases([case], tmp_path / "cache")["case"])
    stored = np.load(folder / "image.npy")
    assert stored.dtype == np.int16
    assert stored.shape == (7, 20, 16)  # from the label to the other end of the head
    cached = brats_cache.cached_case(str(folder))
    assert cached.shape == SHAPE[::-1]
    for place in range(SHAPE[2]):
        np.testing.assert_array_equal(cached.image(place), image[:, :, place].T[::-1])
        np.testing.assert_array_equal(cached.mask(place), np.searchsorted([0, 1, 2, 4], mask[:, :, place].T[::-1]))
