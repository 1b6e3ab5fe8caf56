"""A run that was killed goes on where it was, to the same file, and never mixes two results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from filelock import FileLock

import shared
from shared.errors import InputError
from shared.images import IntensityScaling
from shared.inference import EnhancementInferer
from shared.inference.large import band_enhancement, origin
from shared.inference.large.tile_file import TileFile
from shared.inference.large.unfinished import Unfinished
from tests.inference.large.case import UNIT, Uneven, in_bands, noise, write

SIZE = (400, 100)
FACTOR = 3
TILE_ROWS = 5


class Killed(BaseException):
    """What no handler catches."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "a.tif", noise((*SIZE, 4)), extrasamples=["unassalpha"], tile=(64, 64), compression="zlib")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out" / "a.tif"


@pytest.fixture
def whole(source: Path, tmp_path: Path) -> bytes:
    """The file that a run without interruption gives."""
    enhance(source, tmp_path / "whole" / "a.tif")
    return (tmp_path / "whole" / "a.tif").read_bytes()


def enhance(source: Path, output: Path, overlap: float = 0.4, gain: float = 0.5, rule: IntensityScaling = UNIT) -> Any:
    inferer = EnhancementInferer(3, roi_size=48, overlap=overlap)
    return in_bands(source, output, Uneven(3, FACTOR, gain), inferer, rule)


def kill_at(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int, after: bool = False) -> None:
    """End a run before or after a method's call number ``call``."""
    method: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def killed(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise Killed
        result = method(*args)
        if calls == call:
            raise Killed
        return result

    monkeypatch.setattr(owner, name, killed)


def windows_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the network's passes from now on."""
    passes: list[int] = []
    forward = Uneven.forward
    monkeypatch.setattr(Uneven, "forward", lambda self, images: (passes.append(1), forward(self, images))[1])
    return passes


@pytest.mark.parametrize(
    ("owner", "name", "call", "after", "rows"),
    [
        (Unfinished, "begin", 1, False, 0),
        (Unfinished, "open", 1, False, 0),
        (Unfinished, "open", 1, True, 0),
        (Unfinished, "append", 1, False, 0),
        (Unfinished, "append", 1, True, 1),
        (Unfinished, "append", 3, True, 3),
        (Unfinished, "append", 5, False, 4),
        (Unfinished, "finish", 1, False, 5),
        (TileFile, "complete", 1, True, 5),
    ],
)
def test_a_run_goes_on_wherever_it_was_killed(
    source: Path, output: Path, whole: bytes, capsys: Any, owner: type, name: str, call: int, after: bool, rows: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, owner, name, call, after)
        with pytest.raises(Killed):
            enhance(source, output)
    assert not output.exists()
    assert [path.name for path in output.parent.iterdir()] == [".a.tif.unfinished"]
    capsys.readouterr()
    enhance(source, output)
    assert output.read_bytes() == whole
    assert list(output.parent.iterdir()) == [output]
    told = capsys.readouterr().err
    assert (f"goes on at row {rows * 256 // FACTOR} of 400" in told) is (rows > 0)


def test_what_is_finished_is_not_done_again(source: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = windows_of(monkeypatch)
    enhance(source, output.with_name("b.tif"))
    all_of_them = len(passes)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, Unfinished, "append", 3, after=True)
        with pytest.raises(Killed):
            enhance(source, output)
    passes.clear()
    enhance(source, output)
    # Three of five rows of tiles are there; the bands that reach the next one are done again.
    assert 0.3 * all_of_them < len(passes) < 0.65 * all_of_them


@pytest.mark.parametrize("file", ["journal.jsonl", "image.tif"])
@pytest.mark.parametrize("left", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_half_written_rows_are_cut_off(source: Path, output: Path, whole: bytes, file: str, left: float) -> None:
    stop_after(source, output, 4)
    path = output.with_name(".a.tif.unfinished") / file
    path.write_bytes(path.read_bytes()[: int(left * path.stat().st_size)])
    enhance(source, output)
    assert output.read_bytes() == whole


@pytest.mark.parametrize("place", [0.4, 0.8])
def test_tiles_that_changed_on_disk_are_made_again(source: Path, output: Path, whole: bytes, place: float) -> None:
    stop_after(source, output, 4)
    path = output.with_name(".a.tif.unfinished") / "image.tif"
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)
    enhance(source, output)
    assert output.read_bytes() == whole


def stop_after(source: Path, output: Path, rows: int, **settings: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, Unfinished, "append", rows, after=True)
        with pytest.raises(Killed):
            enhance(source, output, **settings)


@pytest.mark.parametrize(
    "change",
    [{"gain": 0.7}, {"overlap": 0.3}, {"rule": IntensityScaling("minmax")}, "source", "time", "version"],
    ids=str,
)
def test_a_result_of_another_origin_is_never_continued(
    source: Path, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, change: Any
) -> None:
    stop_after(source, output, 3)
    if change == "source":
        write(source, 255 - tifffile.imread(source), extrasamples=["unassalpha"], tile=(64, 64), compression="zlib")
    elif change == "time":
        os.utime(source, (1e9, 1e9))
    elif change == "version":
        monkeypatch.setattr(origin.provenance, "versions", lambda: {"shared": "99"})
    settings = change if isinstance(change, dict) else {}
    capsys.readouterr()
    enhance(source, output, **settings)
    told = capsys.readouterr().err
    assert "starts again" in told
    assert "goes on" not in told
    enhance(source, tmp_path / "fresh" / "a.tif", **settings)
    assert output.read_bytes() == (tmp_path / "fresh" / "a.tif").read_bytes()


def test_another_batch_size_goes_on(source: Path, output: Path, capsys: Any) -> None:
    stop_after(source, output, 3)
    in_bands(source, output, Uneven(3, FACTOR), EnhancementInferer(3, 48, sw_batch_size=1, overlap=0.4))
    assert "goes on at row" in capsys.readouterr().err


def test_a_complete_image_is_left_as_it_is_until_something_changes(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    enhance(source, output)
    passes = windows_of(monkeypatch)
    before = output.stat().st_mtime_ns
    enhance(source, output)
    assert (passes, output.stat().st_mtime_ns) == ([], before)
    assert "is complete already" in capsys.readouterr().err
    enhance(source, output, gain=0.7)
    assert output.stat().st_mtime_ns > before


def test_a_second_process_is_refused(source: Path, output: Path, whole: bytes) -> None:
    stop_after(source, output, 2)
    with (
        FileLock(output.with_name(".a.tif.unfinished") / "lock"),
        pytest.raises(InputError, match=r"a\.tif: another process is enhancing this image"),
    ):
        enhance(source, output)
    enhance(source, output)
    assert output.read_bytes() == whole


def test_a_disk_that_fills_up_keeps_what_is_finished(
    source: Path, output: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Unfinished.append

    def full(self: Unfinished, tiles: Any) -> None:
        if self.rows == 2:
            raise OSError(28, "No space left on device")
        append(self, tiles)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Unfinished, "append", full)
        with pytest.raises(InputError, match=r"out/a\.tif: cannot be written: No space left .* finished is kept in"):
            enhance(source, output)
    assert not output.exists()
    enhance(source, output)
    assert output.read_bytes() == whole


@pytest.mark.slow
def test_a_run_survives_sigkill(tmp_path: Path) -> None:
    pixels = noise((700, 600))
    source, output = write(tmp_path / "a.tif", pixels), tmp_path / "out" / "a.tif"
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from shared.inference import EnhancementInferer
        from shared.inference.large.unfinished import Unfinished
        from tests.inference.large.case import Uneven, in_bands
        append = Unfinished.append
        def deadly(self, tiles):
            append(self, tiles)
            if self.rows == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        Unfinished.append = deadly
        in_bands(Path(sys.argv[1]), Path(sys.argv[2]), Uneven(), EnhancementInferer(1, 64))
        """
    )
    root = Path(shared.__file__).resolve().parents[1]
    died = subprocess.run([sys.executable, "-c", program, str(source), str(output)], cwd=root, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not output.exists()
    inferer = EnhancementInferer(1, 64)
    found = in_bands(source, output, Uneven(), inferer)
    np.testing.assert_array_equal(found, in_bands(source, tmp_path / "whole" / "a.tif", Uneven(), inferer))
    assert list(output.parent.iterdir()) == [output]


def test_tiles_are_what_the_case_needs() -> None:
    assert -(-SIZE[0] * FACTOR // band_enhancement.TILE) == TILE_ROWS
