"""What a run of the bundle says at its end: ranges, suspicious results, what was left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from shared.images import IntensityScaling
from shared.inference import enhance_all, find_images
from shared.inference.findings import Findings, depth_in

Enhance = Callable[..., list[str]]


def write(path: Path, largest: int, dtype: str = "uint16") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.linspace(0, largest, 96).reshape(8, 12).astype(dtype)).save(path)


def closing(text: str) -> list[str]:
    lines = text.splitlines()
    (end,) = (number for number, line in enumerate(lines) if line.startswith("Enhanced "))
    return lines[end + 1 :]


def test_different_ranges_in_one_folder(tmp_path: Path, enhance: Enhance, capfd: Any) -> None:
    for number, largest in enumerate([200, 255, 4095, 3000, 1000]):
        write(tmp_path / "in" / f"{number}.png", largest)
    enhance(tmp_path / "in", tmp_path / "out")
    assert closing(capfd.readouterr().err) == [
        "note: files of one folder were scaled by different ranges: 8 bits (2), 10 bits (1), 12 bits (2); "
        "--bits 12 gives all the same"
    ]
    enhance(tmp_path / "in", tmp_path / "out", scaling=IntensityScaling(bits=12))
    assert closing(capfd.readouterr().err) == []


def test_files_of_eight_bits_have_no_other_range(tmp_path: Path, enhance: Enhance, capfd: Any) -> None:
    for number, dtype in enumerate(["uint8", "uint8", "uint16"]):
        write(tmp_path / "in" / f"{number}.png", 4000 if dtype == "uint16" else 255, dtype)
    enhance(tmp_path / "in", tmp_path / "out")
    assert closing(capfd.readouterr().err) == []


def test_ranges_of_several_folders_and_kinds() -> None:
    findings = Findings("any")
    for name, bits in (("p1/a.png", 12), ("p2/a.PNG", 16), ("p1/a.tif", 10), ("p2/a.tif", 10), ("a.nii", None)):
        findings.add(Path(name), bits, [])
    assert findings.lines() == [
        "note: files of one kind were scaled by different ranges: 12 bits (1), 16 bits (1); "
        "--bits 16 gives all the same"
    ]


class _Flat(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean().expand_as(images).clone()


def test_images_that_changed_too_much_are_named(tmp_path: Path, enhance: Enhance, capfd: Any) -> None:
    for number in range(5):
        write(tmp_path / "in" / f"{number}.png", 255, "uint8")
    enhance(tmp_path / "in", tmp_path / "out")
    assert closing(capfd.readouterr().err) == []
    enhance(tmp_path / "in", tmp_path / "out", network=_Flat())
    (line,) = closing(capfd.readouterr().err)
    assert line == "5 images changed more than noise removal explains: 0.png, 1.png, 2.png, 2 more"


def test_what_was_left_out_is_said_last(tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Large:
        def run(self) -> None:
            print("large", flush=True)

    class Evaluator:
        data_loader = ()

    write(tmp_path / "in" / "a.png", 255, "uint8")
    images = find_images(str(tmp_path / "in"), str(tmp_path / "out"))
    enhance_all(Evaluator(), Large(), images)  # type: ignore[arg-type]
    assert capfd.readouterr().err == ""
    (tmp_path / "in" / "n.txt").touch()
    enhance_all(Evaluator(), Large(), find_images(str(tmp_path / "in"), str(tmp_path / "out")))  # type: ignore[arg-type]
    assert capfd.readouterr().err == "left out: 1 file of another kind (.txt 1)\n"


@pytest.mark.parametrize(
    ("words", "depth"), [("12 bits: 0 to 4095", 12), ("8 bits: 0 to 255", 8), ("minmax: 3 to 5", None), ("", None)]
)
def test_depth_in_words(words: str, depth: int | None) -> None:
    assert depth_in(words) == depth
