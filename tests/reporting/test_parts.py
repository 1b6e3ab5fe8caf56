"""Baselines, files, tables and the gathering of rows, each by itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import multiprocessing

from shared import distributed
from shared.errors import InputError
from shared.files import write_atomically
from shared.metrics import psnr
from shared.reporting import ImageRow, Recognition, non_local_means, per_image_csv, summarise, text_table
from shared.reporting.rows import gather


@pytest.mark.parametrize("channels", [1, 3])
def test_non_local_means_denoises(channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.full((channels, 61, 47), 0.3)
    clean[:, 20:40, 10:30] = 0.7
    noisy = (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    kept = noisy.clone()
    denoised = non_local_means(noisy, sigma=0.1)
    assert denoised.shape == clean.shape
    assert denoised.dtype == torch.float32
    assert psnr(denoised, clean) > psnr(noisy, clean) + 6
    assert torch.equal(noisy, kept)
    assert torch.equal(non_local_means(noisy.numpy(), 0.1), denoised)
    # Told a much lower noise level it does next to nothing.
    assert psnr(non_local_means(noisy, sigma=0.01), clean) < psnr(noisy, clean) + 1


@pytest.mark.parametrize("sigma", [0, -0.1, float("nan")])
def test_non_local_means_needs_a_noise_level(sigma: float) -> None:
    with pytest.raises(InputError, match="sigma of non_local_means must be > 0"):
        non_local_means(torch.zeros(1, 16, 16), sigma)


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, b"first")

    def half_a_file(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", half_a_file)
        with pytest.raises(InputError, match="summary.json cannot be written: No space left on device"):
            write_atomically(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"


def row(identity: str, value: float = 30.0, **recognition: Recognition) -> ImageRow:
    return ImageRow(identity, "g", {"degraded": {"psnr": value}, "enhanced": {"psnr": value + 1}}, recognition)


def test_an_empty_test_set_is_an_error() -> None:
    with pytest.raises(InputError, match="holds no image"):
        summarise([])


def test_rows_with_and_without_recognition_share_a_table() -> None:
    answer = Recognition("diagnosis", {"clean": np.eye(2, dtype=np.int64)}, {"target": 0, "clean": 1})
    text = per_image_csv([row("a, b"), row("c", vr=answer)])
    assert text.splitlines() == [
        "id,group,psnr_degraded,psnr_enhanced,vr_target,vr_clean",
        '"a, b",g,30.000000,31.000000,,',
        "c,g,30.000000,31.000000,0,1",
    ]
    assert summarise([row("a"), row("c", vr=answer)])["recognition"]["vr"]["number_of_images"] == 1


def test_names_are_no_formulas_and_numbers_keep_their_minus() -> None:
    text = per_image_csv([row("=1+1", -3.0), row("a\rb"), row("'a")])
    assert text.split("\n")[1:] == [
        "'=1+1,g,-3.000000,-2.000000", '"a\rb",g,30.000000,31.000000', "'a,g,30.000000,31.000000", ""
    ]


def test_tables_of_text() -> None:
    rows = [["", "a", "value"], ["one", "12", "3.5"], ["three", "", ""]]
    assert text_table(rows).split("\n") == [
        "       a   value", "-----  --  -----", "one    12  3.5", "three",
    ]
    assert text_table(rows, numbers=True).split("\n") == ["        a  value", "one    12    3.5", "three"]
    assert text_table(rows[:2], markdown=True).split("\n") == [
        "|  | a | value |", "| --- | --- | --- |", "| one | 12 | 3.5 |",
    ]


def test_in_one_process_an_id_may_not_come_twice() -> None:
    assert [r.id for r in gather([row("b"), row("a")])] == ["a", "b"]
    with pytest.raises(InputError, match="'a' occurs more than once"):
        gather([row("a"), row("b"), row("a")])


def _gather_on_a_rank(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    matrix = np.eye(2, dtype=np.int64)
    # "a" is on both ranks, as a sampler repeats it to give each rank as many images.
    ids = ["a", "c"] if rank == 0 else ["b", "a"]
    values = {"a": 10.0, "b": 20.0, "c": 60.0}
    mine = [row(i, values[i], vr=Recognition("segmentation", {"clean": matrix})) for i in ids]
    summary = summarise(gather(mine))
    Path(folder, f"{rank}.json").write_text(json.dumps([summary, distributed.rank()]))
    distributed.leave()


@pytest.mark.slow
def test_two_ranks_see_all_images_once(tmp_path: Path) -> None:
    multiprocessing.spawn(_gather_on_a_rank, (str(tmp_path),), nprocs=2)
    (first, first_rank), (second, second_rank) = (
        json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)
    )
    assert first == second
    assert (first_rank, second_rank) == (0, 1)
    assert first["number_of_images"] == 3
    assert first["image_quality"]["degraded"]["psnr"] == pytest.approx(30.0)
