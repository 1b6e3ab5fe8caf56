"""The search in folders: links, circles, what is left out and how it is said."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import InputError
from shared.images.left_out import LeftOut
from shared.images.walking import images_below


def search(root: Path, left_out: LeftOut | None = None, **options: Any) -> list[str]:
    found = images_below(
        root, lambda path: path.endswith(".png"), LeftOut() if left_out is None else left_out, **options
    )
    return [path.relative_to(root).as_posix() for path in found]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "in" / "a.png", tmp_path / "in" / "b" / "c.png")
    return Path("in")


def test_every_reason_is_counted(root: Path, tmp_path: Path) -> None:
    touch(*(root / name for name in (".x.png", ".y", ".git/z.png", "n.txt", "b/m.txt", "k.json", "README", "T.TXT")))
    touch(root / "clean" / "a.png")
    (root / "broken.png").symlink_to("nowhere")
    (root / "self.png").symlink_to("self.png")
    os.mkfifo(root / "pipe.png")
    (root / "b" / "loop").symlink_to("..")
    (root / "again").symlink_to("b")
    left_out = LeftOut()
    assert search(root, left_out, output=root / "clean") == ["a.png", "b/c.png"]
    left_out.no_intensities = Counter({"label maps": 1, "DICOM objects without an image": 2})
    left_out.results = Counter({Path("in/old/report.csv"): 5})
    assert str(left_out) == (
        "left out: 5 files of other kinds (.txt 3, .json 1, without suffix 1), 2 DICOM objects without an image, "
        "1 label map, 5 results of earlier runs (in/old/report.csv), 2 hidden files, 1 hidden folder, "
        "1 linked folder that leads back (in/b/loop), 1 linked folder that is searched already (in/again), "
        "2 broken links (in/broken.png, in/self.png), 1 device or pipe (in/pipe.png), 1 output folder (in/clean)"
    )


def test_nothing_left_out(root: Path) -> None:
    left_out = LeftOut()
    assert search(root, left_out) == ["a.png", "b/c.png"]
    assert not left_out


def test_linked_folders_and_files_are_searched_under_their_names(root: Path, tmp_path: Path) -> None:
    touch(tmp_path / "far" / "deep" / "d.png", tmp_path / "one.png", tmp_path / "hidden" / ".store" / "e.png")
    (root / "0link").symlink_to(tmp_path / "far")
    (root / "single.png").symlink_to(tmp_path / "one.png")
    (root / ".store").mkdir()
    touch(root / ".store" / "f.png")
    (root / "shown").symlink_to(".store")
    (tmp_path / "far" / "deep" / "more").symlink_to(tmp_path / "hidden" / ".store")
    expected = ["a.png", "single.png", "b/c.png", "0link/deep/d.png", "shown/f.png", "0link/deep/more/e.png"]
    assert search(root) == expected


@pytest.mark.parametrize("place", ["in/b", "far", "far/deep"])
@pytest.mark.parametrize("target", ["in", ".", "far", "far/deep", "/"])
def test_circles_end_and_nothing_is_found_twice(root: Path, tmp_path: Path, place: str, target: str) -> None:
    """Whatever leads where, and through links that lie outside."""
    touch(tmp_path / "far" / "deep" / "d.png", tmp_path / "beside" / "not_asked_for.png")
    (root / "x").symlink_to(tmp_path / "far")
    (root / "y").symlink_to(tmp_path / "far" / "deep")
    (tmp_path / place / "loop").symlink_to(tmp_path / target)
    found = search(root)
    assert len({(root / path).resolve() for path in found}) == len(found) == 3
    assert not any("not_asked_for" in path for path in found)


def test_a_real_folder_goes_before_a_link_to_it(root: Path) -> None:
    (root / "0").symlink_to("b")
    assert search(root) == ["a.png", "b/c.png"]


def test_what_is_used_otherwise_is_neither_found_nor_counted(root: Path) -> None:
    touch(root / "masks" / "a.png", root / "classes.csv", root / "b" / "classes.csv")
    left_out = LeftOut()
    assert search(root, left_out, skip=[root / "masks", root / "classes.csv"]) == ["a.png", "b/c.png"]
    assert str(left_out) == "left out: 1 file of another kind (.csv 1)"


def test_a_link_into_the_output_folder(root: Path, tmp_path: Path) -> None:
    touch(tmp_path / "out" / "deep" / "r.png")
    (root / "results").symlink_to(tmp_path / "out" / "deep")
    assert search(root, output=tmp_path / "out") == ["a.png", "b/c.png"]


def test_folder_that_may_not_be_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = os.scandir

    def denied(path: Any) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return known(path)

    monkeypatch.setattr(os, "scandir", denied)
    left_out = LeftOut()
    assert search(root, left_out) == ["a.png"]
    assert str(left_out) == "left out: 1 folder or file that may not be opened (in/b)"


def test_file_that_may_not_be_opened(root: Path) -> None:
    def is_image(path: str) -> bool:
        if path.endswith("c.png"):
            raise PermissionError(13, "Permission denied", path)
        return True

    with pytest.raises(InputError, match=r"c\.png: cannot be read: .*Permission denied"):
        images_below(root, is_image, LeftOut())
    refused: list[str] = []
    found = images_below(root, is_image, LeftOut(), refuse=lambda path, error: refused.append(path))
    assert (found, refused) == ([root / "a.png"], ["in/b/c.png"])


def test_many_kinds_and_paths_stay_one_short_line() -> None:
    left_out = LeftOut(other_kinds=Counter({f".k{number}": 1 for number in range(30)}))
    left_out.circles = [Path(f"c{number}") for number in range(30)]
    assert str(left_out) == (
        "left out: 30 files of other kinds (.k0 1, .k1 1, .k10 1, .k11 1, .k12 1, 25 more kinds), "
        "30 linked folders that lead back (c0, c1, c2, 27 more)"
    )


def test_counts_of_several_searches_are_added() -> None:
    one = LeftOut(Counter({".txt": 2}), hidden_files=1, circles=[Path("a")])
    one.add(LeftOut(Counter({".txt": 1, ".gif": 1}), hidden_files=2, circles=[Path("b")]))
    assert one == LeftOut(Counter({".txt": 3, ".gif": 1}), hidden_files=3, circles=[Path("a"), Path("b")])


def test_sockets_are_no_images(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("in/s.png")
        assert search(root) == ["a.png", "b/c.png"]


def test_results_may_lie_above_what_is_searched(tmp_path: Path) -> None:
    """``--input data/mine --output data``: the sub-folders of the input are no output folders."""
    for name in ("a.png", "sub/b.png"):
        (tmp_path / "data" / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "mine" / name).write_bytes(b"")
    left_out = LeftOut()
    found = images_below(tmp_path / "data" / "mine", lambda path: True, left_out, output=tmp_path / "data")
    assert [path.name for path in found] == ["a.png", "b.png"]
    assert not left_out
