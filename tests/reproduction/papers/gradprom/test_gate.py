"""The figure of the gate: what is read from a history, and what is drawn."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from shared.errors import InputError
from shared.reproduction.papers.gradprom import gate
from shared.reproduction.papers.gradprom.gate import draw_gate, read_gate

HISTORY = """epoch,loss,val_psnr,diagnosis_cosine,diagnosis_acceptance,diagnosis_skipped
1,0.5,12.0,,,
2,0.4,13.0,-0.25,0.5,0.0
3,0.3,14.0,nan,1.0,0.0
"""


def make_history(folder: Path, text: str = HISTORY, phantom: bool = False) -> Path:
    (folder / "eval").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "eval" / "history.csv").write_text(text)
    (folder / "models" / "provenance.json").write_text(json.dumps({"phantom": phantom}))
    return folder


def test_a_history_is_read_with_its_gaps(tmp_path: Path) -> None:
    history = read_gate(make_history(tmp_path / "run"))["diagnosis"]
    assert history.epochs == [1, 2, 3]
    assert history.acceptance == [None, 0.5, 1.0]
    assert history.cosine == [None, -0.25, None]
    assert read_gate(make_history(tmp_path / "none", "epoch,loss\n1,0.5\n")) == {}


def test_a_row_of_charts_per_task_and_a_line_per_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def remember(title, x_title, lines, **settings):
        drawn.append((title, [line.colour for line in lines], [list(line.y) for line in lines]))
        return Image.new("RGB", (640, 340), "white")

    monkeypatch.setattr(gate, "draw_chart", remember)
    both = HISTORY.replace("diagnosis", "segmentation")
    runs = {
        "none": make_history(tmp_path / "none", "epoch,loss\n1,0.5\n"),
        "one": make_history(tmp_path / "one"),
        "two": make_history(tmp_path / "two", both),
        "three": make_history(tmp_path / "three"),
    }
    Image.open(io.BytesIO(draw_gate(runs))).load()
    first, second, third = (gate.colour_of(number) for number in range(3))
    rate, cosine = [None, 0.5, 1.0], [None, -0.25, None]
    assert drawn == [
        ("diagnosis: acceptance rate", [first, third], [rate] * 2),
        ("diagnosis: cosine of the gradients", [first, third], [cosine] * 2),
        ("segmentation: acceptance rate", [second], [rate]),
        ("segmentation: cosine of the gradients", [second], [cosine]),
    ]


@pytest.mark.parametrize("phantom", [True, False])
def test_phantom_data_are_called_no_result(tmp_path: Path, phantom: bool) -> None:
    picture = Image.open(io.BytesIO(draw_gate({"a": make_history(tmp_path / "a", phantom=phantom)})))
    assert picture.width < 2000
    assert ("phantom data, no result" in picture.text["Description"]) == phantom


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"history\.csv: found no epochs"),
        ("a,b\n1,2\n", r"history\.csv: found no epochs"),
        (HISTORY.replace("0.5,0.0", "half,0.0"), r"history\.csv: found 'half' in column 'diagnosis_acceptance'"),
        ("epoch,loss\n1,0.5\n", "needs a run with recognition, found none in"),
    ],
)
def test_bad_histories(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw_gate({"a": make_history(tmp_path / "a", text)})


def test_a_missing_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"history\.csv: no such file"):
        draw_gate({"a": tmp_path})
