"""The numbers a paper gives, to stand beside ours; they lie in ``paper_gradprom.json`` and never in code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent / "paper.json"


@dataclass(frozen=True)
class PaperNumber:
    """A printed mean, and its standard deviation where the paper gives one."""

    mean: float
    std: float | None = None


@dataclass(frozen=True)
class PaperRow:
    """A row of a table of the paper.

    Attributes:
        row: our label, the same as in the tables that are run here.
        setting: "sup", "unsup", "none" (no recognition network in training), "column" (the column tells), or None
            where the paper does not say.
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
    values: Mapping[str, Mapping[str, PaperNumber]]
    publication: str | None = None
    run_here: bool = True


@dataclass(frozen=True)
class Note:
    """Where the paper contradicts itself, with the numbers that show it.

    Attributes:
        id: name of the contradiction.
        tables: which tables it concerns.
        text: one or two sentences.
        numbers: dicts with the keys table, row, column, metric, value.
    """

    id: str
    tables: tuple[str, ...]
    text: str
    numbers: tuple[Mapping[str, Any], ...]


def number(table: str, row: str, column: str, metric: str) -> PaperNumber | None:
    """Return the paper's number for one place of a table, or None where it has none.

    Args:
        table: "table1" to "table8".
        row: label, for example "Sup. GradProm" or "GradProm dia ResNet-50".
        column: label, for example "σ = 0.1", "γ = 2" or "Unsup.".
        metric: "psnr", "ssim", "accuracy" or "mean_iou".
    """
    return next((entry.values.get(column, {}).get(metric) for entry in rows(table) if entry.row == row), None)


def rows(table: str) -> tuple[PaperRow, ...]:
    """Return the rows of a table in the paper's order; none where the paper has no such table."""
    return _tables().get(table, ())


def columns(table: str) -> list[str]:
    """Return the labels of a table's columns in the paper's order."""
    return list(dict.fromkeys(column for entry in rows(table) for column in entry.values))


def notes(table: str | None = None) -> tuple[Note, ...]:
    """Return the contradictions that concern a table, or all of them."""
    found = tuple(
        Note(note["id"], tuple(note["tables"]), note["text"], tuple(note["numbers"])) for note in _content()["notes"]
    )
    return tuple(note for note in found if table is None or table in note.tables)


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


@cache
def _tables() -> dict[str, tuple[PaperRow, ...]]:
    return {
        name: tuple(PaperRow(**{**entry, "values": _values(entry["values"])}) for entry in table["rows"])
        for name, table in _content()["tables"].items()
    }


def _values(values: Mapping[str, Mapping[str, list[float | None]]]) -> dict[str, dict[str, PaperNumber]]:
    return {
        column: {metric: PaperNumber(float(mean or 0), std) for metric, (mean, std) in numbers.items()}
        for column, numbers in values.items()
    }
