"""A large volume that cannot be enhanced is refused by a message, and leaves nothing but an earlier result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from shared.errors import InputError
from shared.inference import EnhancementInferer, LargeImages, LoadSourced
from tests.images.nifti_files import save_nifti
from tests.inference.large.case import Uneven, noise
from tests.inference.large.test_volumes import ODD, in_slabs


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([np.inf, 1.0], r"a\.nii: 1 of 24 values are infinite"),
        ([np.nan, np.inf], r"a\.nii: 1 of 24 values are infinite"),
        ([np.nan] * 24, r"a\.nii: 24 of 24 values are NaN"),
    ],
)
def test_values_that_no_scale_can_hold(tmp_path: Path, values: list[float], message: str) -> None:
    volume = np.zeros(24, np.float32)
    volume[: len(values)] = values
    source = save_nifti(tmp_path / "a.nii", volume.reshape(2, 3, 4))
    with pytest.raises(InputError, match=message):
        in_slabs(source, tmp_path / "out", Uneven(), EnhancementInferer(1))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("output", "network", "message"),
    [
        ("a.png", Uneven(), r"output_format: .*a\.nii is a large volume, .* found a\.png, expected .* 'nifti'"),
        ("a.nii", nn.AvgPool2d(2), r"network_def: makes an image of shape \(1, 1, 16, 15\) of .* \(1, 1, 32, 31\)"),
        ("a.nii", nn.Conv2d(1, 2, 1), r"network_def: makes an image of shape \(1, 2, 32, 31\)"),
        ("a.nii", Uneven(gain=float("nan")), r"a\.nii: the network gave values that are not finite"),
    ],
)
def test_what_cannot_be_done_leaves_nothing_behind(
    tmp_path: Path, output: str, network: nn.Module, message: str
) -> None:
    source = save_nifti(tmp_path / "a.nii", noise(ODD))
    item = {"image": str(source), "output": str(tmp_path / "out" / output)}
    with pytest.raises(InputError, match=message):
        LargeImages([item], network, EnhancementInferer(1), LoadSourced("image"), "cpu").run()
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_a_run_that_stops_leaves_the_earlier_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plane: str
) -> None:
    source, load = save_nifti(tmp_path / "a.nii.gz", noise((9, 8, 7))), LoadSourced("image", plane=plane)
    found = in_slabs(source, tmp_path / "out", Uneven(), EnhancementInferer(1, sw_batch_size=1), load)
    before = found.read_bytes()
    network, calls = Uneven(), []

    def stop(*args: Any) -> None:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt

    network.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        in_slabs(source, tmp_path / "out", network, EnhancementInferer(1, sw_batch_size=1), load)
    assert found.read_bytes() == before
    assert list(found.parent.iterdir()) == [found]


@pytest.mark.parametrize(("plane", "needed"), [("axial", 18), ("coronal", 36)])
def test_a_full_disk_is_seen_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plane: str, needed: int
) -> None:
    source = save_nifti(tmp_path / "a.nii", noise((64, 64, 72), "float32"), np.eye(4))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 2**20})())
    load = LoadSourced("image", plane=plane)
    message = rf"out/a\.nii: cannot be written: needs up to {needed} MiB, found 1 MiB free"
    with pytest.raises(InputError, match=message):
        in_slabs(source, tmp_path / "out", Uneven(1, 4), EnhancementInferer(1), load)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_result_too_long_for_its_header_is_refused(tmp_path: Path) -> None:
    source = save_nifti(tmp_path / "a.nii.gz", noise((2**13, 2, 2)), np.eye(4))
    with pytest.raises(InputError, match=r"out/a\.nii\.gz: cannot be written: shape \(32768, 8, 2\) does not fit"):
        in_slabs(source, tmp_path / "out", nn.Upsample(scale_factor=4), EnhancementInferer(1))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_file_is_found_and_leaves_nothing(tmp_path: Path) -> None:
    source = save_nifti(tmp_path / "a.nii.gz", noise((40, 30, 20)))
    source.write_bytes(source.read_bytes()[:-5000])
    with pytest.raises(InputError, match=r"a\.nii\.gz: cannot be read as an image: "):
        in_slabs(source, tmp_path / "out", Uneven(), EnhancementInferer(1))
    assert not (tmp_path / "out").exists()


def test_a_bad_header_is_found_before_the_first_volume_is_enhanced(tmp_path: Path) -> None:
    items = []
    for name in ("a.nii", "b.nii"):
        source = save_nifti(tmp_path / name, noise((6, 5, 4)))
        items.append({"image": str(source), "output": str(tmp_path / "out" / name)})
    source.write_bytes(b"nothing of the kind" * 30)
    with pytest.raises(InputError, match=r"b\.nii: "):
        LargeImages(items, Uneven(), EnhancementInferer(1), LoadSourced("image"), "cpu").run()
    assert not (tmp_path / "out").exists()
