"""What the tables show, as grids of text that Markdown and HTML render alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.reporting.headings import HEADINGS
from shared.reproduction.description import Cell, Table
from shared.reproduction.printed import PrintedNumber, PrintedTable
from shared.reproduction.results import SET_LEVEL, CellResult, is_set_level
from shared.reproduction.statistics import MIN_GROUPS, Comparison, adjusted, compare

Results = Mapping[Cell, CellResult | None]
PHANTOM = "Phantom data: these numbers show that the software runs. They are no result and say nothing about a method."
NOT_RUN, NOT_MEASURED, FROM_PAPER = "not run", "–", "from the paper, not run here"
ALONE = "paper alone"


@dataclass(frozen=True)
class Grid:
    """A table of text; the first column holds labels."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Value:
    """A mean over repeats, its sample standard deviation (None for a single one) and their number."""

    mean: float
    std: float | None
    n: int


def is_phantom(results: Results) -> bool:
    """Whether any result comes from phantom data."""
    return any(result is not None and result.phantom for result in results.values())


def value(result: CellResult | None, metric: str) -> Value | None:
    """Return a cell's value over its seeds, or None where it was not run or not measured."""
    if result is None or metric not in result.values:
        return None
    values = np.array(result.values[metric], dtype=np.float64)
    std = float(values.std(ddof=1)) if len(values) > 1 and np.isfinite(values).all() else None
    return Value(float(values.mean()), std, len(values))


def metrics_of(table: Table, results: Results, column: str) -> list[str]:
    """Return what a column of a table shows, with balanced accuracy beside accuracy, and what the paper has."""
    names: dict[str, None] = {}
    for cell in table.cells:
        if cell.column == column:
            for metric in cell.metrics:
                result = results.get(cell)
                known = result.values if result else {}
                names |= dict.fromkeys([metric, *(name for name in SET_LEVEL.get(metric, ()) if name in known)])
    for row in _printed(table).rows:
        names |= dict.fromkeys(row.values.get(column, {}))
    order = list(HEADINGS)
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def columns_of(table: Table) -> list[str]:
    """Return the labels of a table's columns, those that the paper alone has last."""
    return list(dict.fromkeys([*table.columns, *_printed(table).columns]))


def value_grids(table: Table, results: Results) -> list[Grid]:
    """Return one grid for each column label: rows with our values, the paper's beside them, and the repeats.

    What the paper alone has, such as the opinion of people, has no column of ours.
    """
    grids, printed = [], _printed(table)
    for column in columns_of(table):
        cells = {cell.row: cell for cell in table.cells if cell.column == column}
        places = _places(table, results, column)
        lines = []
        for row in dict.fromkeys([*cells, *(row.row for row in printed.rows if column in row.values)]):
            cell = cells.get(row)
            line = [row]
            for metric, paper in places:
                if paper:
                    line.append(_number(printed.number(row, column, metric)))
                else:
                    line.append(_ours(cell, results, metric) if cell else "")
            result = results.get(cell) if cell else None
            lines.append((*line, str(len(result.seeds) if result else 0) if cell else FROM_PAPER))
        header = [_heading(metric, paper, places) for metric, paper in places]
        grids.append(Grid(column, ("", *header, "repeats"), tuple(lines)))
    return grids


def _places(table: Table, results: Results, column: str) -> list[tuple[str, bool]]:
    """Return what the columns of a grid hold: a metric each, and whether it is the paper's value or ours."""
    of_paper = {metric for row in _printed(table).rows for metric in row.values.get(column, {})}
    of_ours = {metric for cell in table.cells if cell.column == column for metric in cell.metrics}
    places = []
    for metric in metrics_of(table, results, column):
        places += [(metric, False)] if metric in of_ours or metric not in of_paper else []
        places += [(metric, True)] if metric in of_paper else []
    return places


def _heading(metric: str, paper: bool, places: Sequence[tuple[str, bool]]) -> str:
    heading = HEADINGS.get(metric, metric)
    if not paper:
        return heading
    return "paper" if (metric, False) in places else f"{heading}, {ALONE}"


def comparisons(table: Table, results: Results) -> list[Comparison]:
    """Compare each cell with the rows it names, metric by metric, with Holm's correction over table and metric.

    Raises:
        InputError: when two cells cannot be compared.
        ValueError: when a cell names a row that its column does not have.
    """
    by_place = {(cell.row, cell.column): cell for cell in table.cells}
    found = []
    for cell in table.cells:
        for row in cell.compare_with:
            if (row, cell.column) not in by_place:
                raise ValueError(f"compare_with of {cell.row!r}: expected a row of {cell.column!r}, found {row!r}")
            control = by_place[row, cell.column]
            ours, other = results.get(cell), results.get(control)
            for metric in cell.metrics:
                if metric not in control.metrics or is_set_level(metric):
                    continue
                if ours is None or other is None:
                    found.append(Comparison(cell, control, metric, note=NOT_RUN))
                else:
                    found.append(compare(ours, other, metric, significance=table.significance))
    return adjusted(found)


def by_metric(found: Sequence[Comparison]) -> Iterator[tuple[str, list[Comparison]]]:
    """Yield the comparisons of each metric."""
    for metric in dict.fromkeys(comparison.metric for comparison in found):
        yield metric, [comparison for comparison in found if comparison.metric == metric]


def comparison_grid(table: Table, metric: str, found: Sequence[Comparison]) -> Grid:
    """Return the grid of the comparisons of one metric, a line for each."""
    header = ["", "column", "against", "mean difference"]
    header += ["95 % CI", "p", "p (Holm)"] if table.significance else []
    header += ["rank-biserial", "better / worse", "groups", "images", "by seed"]
    lines = [tuple(_comparison_line(table, comparison)) for comparison in found]
    return Grid(HEADINGS.get(metric, metric), tuple(header), tuple(lines))


def footnotes(table: Table, results: Results, found: Sequence[Comparison]) -> list[str]:
    """Return the sentences below a table."""
    notes = list(table.notes)
    notes.append("Ours: mean ± sample standard deviation over the repeats (seeds).")
    measured = [result.values.get("majority_baseline", ()) for result in results.values() if result is not None]
    if majority := sorted({f"{share:.3f}" for shares in measured for share in shares}):
        notes.append(
            f"Always naming the most frequent class of the test set would have an accuracy of {', '.join(majority)}."
        )
    if found:
        notes += _about_comparisons(table, found)
    notes += [f"About the paper's numbers: {note.text}" for note in _printed(table).contradictions]
    return notes


def _about_comparisons(table: Table, found: Sequence[Comparison]) -> list[str]:
    notes = [
        "Comparisons: row minus the row it stands against. Seeds are averaged for each image, images for each group "
        "(patient, lesion); the mean difference is the mean over groups, each counted once. Rank-biserial: 1 when "
        "every group is better, -1 when every group is worse. Better / worse counts groups; by seed gives the mean "
        "difference of each repeat.",
    ]
    if table.significance:
        notes.append(
            "p: Wilcoxon's signed-rank test over groups, two-sided; p (Holm) is corrected over all comparisons of this "
            "table and metric. The interval is a bootstrap over groups with their images (BCa). Both speak about "
            "other patients, with the networks of these seeds."
        )
        few = any(0 < comparison.groups < MIN_GROUPS for comparison in found)
        if few:
            notes.append(f"Fewer than {MIN_GROUPS} groups: no p-value, and the intervals are too narrow.")
    else:
        notes.append("Effect sizes alone: these data do not allow a test of significance.")
    if any(comparison.metric == "mean_iou" for comparison in found):
        notes.append(
            "Mean IoU is compared image by image; the cells show that of the whole test set (one confusion matrix)."
        )
    return notes


def _comparison_line(table: Table, one: Comparison) -> list[str]:
    line = [one.treatment.row, one.treatment.column, one.control.row]
    width = 9 if table.significance else 6
    if one.note:
        return [*line, one.note, *[""] * (width - 1)]
    line.append(signed(one.difference, one.metric))
    if table.significance:
        missing = f"n/a, {one.groups} group{'s' if one.groups > 1 else ''}"
        low_high = one.interval and f"{signed(one.interval[0], one.metric)} to {signed(one.interval[1], one.metric)}"
        line += [low_high or missing, p_text(one.p_value) or missing, p_text(one.p_adjusted) or missing]
    line += [f"{one.effect:+.2f}", f"{one.better} / {one.worse}", str(one.groups), str(one.images)]
    return [*line, ", ".join(signed(difference, one.metric) for difference in one.by_seed)]


def signed(difference: float, metric: str) -> str:
    """Return a difference with its sign, in the digits of its metric."""
    # Adding zero takes the sign from what is rounded to nothing.
    digits = 3 if metric.startswith("psnr") else 4
    return f"{round(difference, digits) + 0.0:+.{digits}f}"


def p_text(p_value: float | None) -> str:
    """Return a p-value as it is written, empty for none."""
    if p_value is None:
        return ""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _ours(cell: Cell | None, results: Results, metric: str) -> str:
    if cell is None or metric not in cell.metrics and not _beside(metric, cell):
        return NOT_MEASURED
    found = value(results.get(cell), metric)
    if found is None:
        return NOT_RUN if results.get(cell) is None else NOT_MEASURED
    digits = 2 if metric.startswith("psnr") else 4 if metric.startswith("ssim") else 3
    mean = "∞" if math.isinf(found.mean) else f"{found.mean:.{digits}f}"
    return mean if found.std is None else f"{mean} ± {found.std:.{digits}f}"


def _beside(metric: str, cell: Cell) -> bool:
    """Whether a cell has a metric because it has another."""
    return any(metric in SET_LEVEL.get(name, ()) for name in cell.metrics)


def _number(number: PrintedNumber | None) -> str:
    """Return a number of the paper in its own digits."""
    return NOT_MEASURED if number is None else number.text


def _printed(table: Table) -> PrintedTable:
    """What the paper prints; nothing for a table of our own."""
    return table.printed or PrintedTable()
