"""The gate over training: how often a recognition gradient was let in, and its cosine with that of IP."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from shared.bundle import provenance
from shared.errors import InputError
from shared.reporting.chart import Line, colour_of, draw_chart, draw_legend
from shared.reporting.drawing import GAP, LINE, encode, write
from shared.reproduction.papers.gradprom.sheet import PHANTOM, wrapped

HISTORY = "eval/history.csv"
ACCEPTANCE, COSINE = "_acceptance", "_cosine"


@dataclass(frozen=True)
class GateHistory:
    """One recognition task's gate over a run's epochs; None before the cascade and where nothing was measured.

    Attributes:
        epochs: their numbers.
        acceptance: share of steps whose recognition gradient was let in, in [0, 1].
        cosine: mean cosine of the recognition gradient and that of IP.
    """

    epochs: Sequence[float]
    acceptance: Sequence[float | None]
    cosine: Sequence[float | None]


def read_gate(run_folder: str | Path) -> dict[str, GateHistory]:
    """Read a run's ``eval/history.csv``, by recognition task; empty for a run without the gate (``none``).

    Raises:
        InputError: when the file is missing or no history.
    """
    path = Path(run_folder) / HISTORY
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected the history of a finished run")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "epoch" not in rows[0]:
        raise InputError(f"{path}: found no epochs, expected a table with a column 'epoch'")
    tasks = [name.removesuffix(ACCEPTANCE) for name in rows[0] if name.endswith(ACCEPTANCE)]

    def column(name: str) -> list[float | None]:
        return [_number(path, name, row.get(name)) for row in rows]

    epochs = [value or 0.0 for value in column("epoch")]
    return {task: GateHistory(epochs, column(task + ACCEPTANCE), column(task + COSINE)) for task in tasks}


def draw_gate(runs: Mapping[str, str | Path]) -> bytes:
    """Draw acceptance rate and cosine over training, a row of charts per recognition task and a line per run.

    Strategies that add the recognition loss (joint, frozen) let every gradient in; they measure the cosine only with
    the handler's ``always_measure``, else their lines are missing on the right. Runs without recognition (none) are
    left out.

    Args:
        runs: folders of runs by label, at most ten.

    Raises:
        InputError: when a history cannot be read, or no run has the gate.
    """
    histories = {label: history for label, folder in runs.items() if (history := read_gate(folder))}
    tasks = list(dict.fromkeys(task for history in histories.values() for task in history))
    if not tasks:
        raise InputError(
            f"the figure of the gate needs a run with recognition, found none in {', '.join(map(str, runs.values()))}"
        )
    charts = [_charts(task, histories) for task in tasks]
    width, height = charts[0][0].width * 2 + 3 * GAP, charts[0][0].height + GAP
    names = draw_legend(list(histories), width - 2 * GAP)
    sentences = "Per epoch: share of steps in which the recognition gradient was let in, and the mean cosine between "
    sentences += "it and the gradient of the enhancement loss."
    if any((provenance.read(Path(folder) / "models") or {}).get("phantom", False) for folder in runs.values()):
        sentences += f" {PHANTOM}"
    lines = wrapped(sentences, width - 2 * GAP)
    top = GAP + names.height
    canvas = Image.new("RGB", (width, top + len(charts) * height + len(lines) * LINE + GAP), "white")
    canvas.paste(names, (GAP, GAP))
    for row, pair in enumerate(charts):
        for column, chart in enumerate(pair):
            canvas.paste(chart, (GAP + column * (chart.width + GAP), top + row * height))
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        write(draw, GAP, top + len(charts) * height + number * LINE, line, width, colour="#333333")
    return encode(canvas, description=sentences)


def _charts(task: str, histories: Mapping[str, Mapping[str, GateHistory]]) -> tuple[Image.Image, Image.Image]:
    shown = [(colour_of(n), history[task]) for n, history in enumerate(histories.values()) if task in history]
    acceptance = [Line(history.epochs, history.acceptance, colour) for colour, history in shown]
    cosine = [Line(history.epochs, history.cosine, colour) for colour, history in shown]
    return (
        draw_chart(f"{task}: acceptance rate", "epoch", acceptance, limits=(0.0, 1.0), percent=True),
        draw_chart(f"{task}: cosine of the gradients", "epoch", cosine, zero_line=True),
    )


def _number(path: Path, name: str, text: str | None) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as err:
        raise InputError(f"{path}: found {text!r} in column {name!r}, expected a number") from err
    return value if math.isfinite(value) else None
