"""A table of four rows and two columns, some of it not run, for the tests of tables and pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.reproduction.description import Cell, Table
from shared.reproduction.papers.gradprom.tables import NUMBERS
from shared.reproduction.results import CellResult

from .run_folders import a_run, result

GAINS = {"Benchmark-i": 2.0, "Sup. frozen": 3.0, "Sup. GradProm": 4.0, "Sup. <joint> | x": 3.0}
METRICS = ("psnr", "ssim", "accuracy")


def table(**options: Any) -> Table:
    cells = []
    for sigma in (0.1, 0.3):
        for row in GAINS:
            run = a_run(row, sigma=sigma)
            rivals = tuple(name for name in ("Benchmark-i", "Sup. frozen") if name != row and row != "Benchmark-i")
            cells.append(Cell(row, f"σ = {sigma}", run, metrics=METRICS, task="diagnosis", compare_with=rivals))
    own = {"name": "table1", "title": "A <small> table", "notes": ("A note & more.",), "printed": NUMBERS["table1"]}
    return Table(cells=tuple(cells), **{**own, **options})


def measured(
    folder: Path, of: Table, missing: Sequence[str] = ("Sup. <joint> | x",), **options: Any
) -> dict[Cell, CellResult | None]:
    return {
        cell: None if cell.row in missing else result(folder, cell, GAINS[cell.row], **options) for cell in of.cells
    }
