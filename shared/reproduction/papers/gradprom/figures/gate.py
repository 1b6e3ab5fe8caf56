"""The gate over training: how often a recognition gradient was let in, and its cosine with that of IP."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.bundle import provenance
from shared.errors import InputError
from shared.reporting.charts import Chart, Line, draw_charts
from shared.reproduction.trained_run import legend

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
    sentences = [
        "Per epoch: share of steps in which the recognition gradient was let in, and the mean cosine between it and "
        "the gradient of the enhancement loss."
    ]
    phantom = any((provenance.read(Path(folder) / "models") or {}).get("phantom", False) for folder in runs.values())
    return draw_charts([_charts(task, histories) for task in tasks], list(histories), legend(sentences, phantom))


def _charts(task: str, histories: Mapping[str, Mapping[str, GateHistory]]) -> list[Chart]:
    shown = {label: history[task] for label, history in histories.items() if task in history}
    acceptance = {label: Line(gate.epochs, gate.acceptance) for label, gate in shown.items()}
    cosine = {label: Line(gate.epochs, gate.cosine) for label, gate in shown.items()}
    return [
        Chart(f"{task}: acceptance rate", "epoch", acceptance, limits=(0.0, 1.0), percent=True),
        Chart(f"{task}: cosine of the gradients", "epoch", cosine, zero_line=True),
    ]


def _number(path: Path, name: str, text: str | None) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as err:
        raise InputError(f"{path}: found {text!r} in column {name!r}, expected a number") from err
    return value if math.isfinite(value) else None
