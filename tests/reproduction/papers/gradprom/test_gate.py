"""The figure of the gate: what is read from a history, and what is drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.errors import InputError
from shared.reporting.charts import Line, draw_charts
from shared.reproduction.papers.gradprom.figures import gate
from shared.reproduction.papers.gradprom.figures.gate import draw_gate, read_gate
from tests.reporting.pictures import description, pixels

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
    drawn: list[tuple[Any, ...]] = []

    def remember(charts: Any, names: Any, legend: str) -> bytes:
        drawn.append((charts, names))
        return draw_charts(charts, names, legend)

    monkeypatch.setattr(gate, "draw_charts", remember)
    both = HISTORY.replace("diagnosis", "segmentation")
    runs = {
        "none": make_history(tmp_path / "none", "epoch,loss\n1,0.5\n"),
        "one": make_history(tmp_path / "one"),
        "two": make_history(tmp_path / "two", both),
        "three": make_history(tmp_path / "three"),
    }
    assert pixels(draw_gate(runs)).shape[1] == 1280
    ((charts, names),) = drawn
    assert names == ["one", "two", "three"]
    rate, cosine = Line([1, 2, 3], [None, 0.5, 1.0]), Line([1, 2, 3], [None, -0.25, None])
    assert [[(chart.title, chart.lines) for chart in row] for row in charts] == [
        [
            ("diagnosis: acceptance rate", {"one": rate, "three": rate}),
            ("diagnosis: cosine of the gradients", {"one": cosine, "three": cosine}),
        ],
        [
            ("segmentation: acceptance rate", {"two": rate}),
            ("segmentation: cosine of the gradients", {"two": cosine}),
        ],
    ]


@pytest.mark.parametrize("phantom", [True, False])
def test_phantom_data_are_called_no_result(tmp_path: Path, phantom: bool) -> None:
    words = description(draw_gate({"a": make_history(tmp_path / "a", phantom=phantom)}))
    assert ("phantom data, no result" in words) == phantom
    assert "share of steps" in words


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
