"""The numbers that a paper prints, to stand beside ours; they lie in a file of the paper and never in code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PrintedNumber:
    """A printed mean, and its standard deviation where the paper gives one; ``text`` has the paper's own digits."""

    mean: float
    std: float | None = None
    text: str = field(default="", compare=False)


@dataclass(frozen=True)
class PrintedRow:
    """A row of a table of a paper.

    Attributes:
        row: our label, the same as in the tables that are run here.
        setting: how it was trained, in the paper's words, or None where the paper does not say.
        strategy: as the bundles call it ("none", "joint", "frozen", "gradprom"), or None for other methods.
        backbone: as printed, or None.
        values: numbers by column and metric.
        publication: of another author's method, as printed.
        run_here: whether it is a method of ours; other authors' methods are shown from the paper alone.
    """

    row: str
    setting: str | None
    strategy: str | None
    backbone: str | None
    values: Mapping[str, Mapping[str, PrintedNumber]]
    publication: str | None = None
    run_here: bool = True


@dataclass(frozen=True)
class Contradiction:
    """Where a paper contradicts itself, with the numbers that show it.

    Attributes:
        id: its name.
        tables: which tables it concerns.
        text: one or two sentences.
        numbers: dicts with the keys table, row, column, metric, value.
    """

    id: str
    tables: tuple[str, ...]
    text: str
    numbers: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class PrintedTable:
    """A table as a paper prints it.

    Attributes:
        rows: in the paper's order; none where it gives no numbers.
        contradictions: that concern this table.
    """

    rows: tuple[PrintedRow, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Labels of the columns in the paper's order."""
        return list(dict.fromkeys(column for entry in self.rows for column in entry.values))

    def number(self, row: str, column: str, metric: str) -> PrintedNumber | None:
        """Return the number of one place, or None where the paper has none.

        Args:
            row: label, for example "Sup. GradProm" or "GradProm dia ResNet-50".
            column: label, for example "σ = 0.1", "γ = 2" or "Unsup.".
            metric: for example "psnr", "ssim", "accuracy" or "mean_iou".
        """
        return next((entry.values.get(column, {}).get(metric) for entry in self.rows if entry.row == row), None)


def read_printed(file: Path) -> dict[str, PrintedTable]:
    """Return the tables of a paper by name, as they lie in its ``numbers.json``.

    The file holds ``{"tables": {name: {"rows": [row, …]}}, "notes": [contradiction, …]}``; a row is a
    :class:`PrintedRow` whose numbers are pairs [mean, standard deviation or null]. They are shown with the digits that
    they have in the file: 0.870 is not 0.87.
    """
    content = json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    notes = [
        Contradiction(
            note["id"], tuple(note["tables"]), note["text"],
            tuple({**number, "value": float(number["value"])} for number in note["numbers"]),
        )
        for note in content["notes"]
    ]
    return {
        name: PrintedTable(
            tuple(PrintedRow(**{**entry, "values": _values(entry["values"])}) for entry in table["rows"]),
            tuple(note for note in notes if name in note.tables),
        )
        for name, table in content["tables"].items()
    }


def _values(values: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, dict[str, PrintedNumber]]:
    return {
        column: {metric: _number(mean, std) for metric, (mean, std) in numbers.items()}
        for column, numbers in values.items()
    }


def _number(mean: Decimal | int, std: Decimal | None) -> PrintedNumber:
    if std is None:
        return PrintedNumber(float(mean), None, str(mean))
    return PrintedNumber(float(mean), float(std), f"{mean} ± {std}")
