"""A bar on a terminal, lines elsewhere, and a closing line."""

from __future__ import annotations

import io

import pytest
from ignite.engine import Engine

from shared.inference import InferenceProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(stream: io.StringIO, fail_at: int | None = None, count: int = 4) -> str:
    def step(engine: Engine, batch: list) -> None:
        if engine.state.iteration == fail_at:
            raise ValueError("damaged")

    engine = Engine(step)
    InferenceProgress("clean", stream=stream).attach(engine)
    names = ["a.png", "b.jpg.png", "c.nii.gz", "d.tif"]
    engine.run([[{"output": f"clean/{name}"}] for name in names[:count]])
    return stream.getvalue()


def test_lines_without_a_terminal() -> None:
    lines = run(io.StringIO()).splitlines()
    assert lines[:-1] == ["1/4 clean/a.png", "4/4 clean/d.tif"]
    assert lines[-1].startswith("Enhanced 4 images (1 NIfTI, 2 PNG, 1 TIFF) in ")
    assert lines[-1].endswith(" s, written to clean")


def test_bar_on_a_terminal() -> None:
    text = run(Terminal())
    assert "100%" in text
    assert "d.tif" in text
    assert text.rstrip().endswith("written to clean")
    assert "4/4 clean" not in text


def test_exception_passes_through_and_names_what_is_there() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="damaged"):
        run(stream, fail_at=3)
    assert stream.getvalue().splitlines()[-1] == "Stopped after 2 images, which stay in clean"


def test_one_image() -> None:
    assert "Enhanced 1 image (1 PNG)" in run(io.StringIO(), count=1)
