"""Files, tables and the gathering of rows, each by itself."""

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
from shared.reporting import ImageRow, Recognition, summarise, text_table
from shared.reporting.rows import gather


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
