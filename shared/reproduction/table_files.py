"""Tables as Markdown and as CSV."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from csv import DictWriter
from typing import Any

from shared.reproduction.description import Table
from shared.reproduction.layout import (
    PHANTOM,
    Grid,
    Results,
    by_metric,
    columns_of,
    comparison_grid,
    comparisons,
    footnotes,
    is_phantom,
    metrics_of,
    value,
    value_grids,
)

VALUE_COLUMNS = [
    "phantom", "table", "row", "column", "metric", "mean", "std", "n", "paper_mean", "paper_std", "weights",
]
COMPARISON_COLUMNS = [
    "phantom", "table", "row", "column", "against", "metric", "difference", "low", "high", "p", "p_holm",
    "rank_biserial", "better", "worse", "groups", "images", "by_seed", "note",
]
IN_CSV = "phantom data: no result"


def markdown(table: Table, results: Results, run_info: Mapping[str, str] | None = None) -> str:
    """Return a table as Markdown: our values beside the paper's for each column, comparisons, notes.

    Args:
        table: what is shown.
        results: of its cells; a cell that is missing or None is shown as not run.
        run_info: what stands in the head, for example {"Device": "cpu", "Seeds": "0, 1, 2"}.

    Raises:
        InputError: when two cells that are to be compared did not test the same images.
    """
    found = comparisons(table, results)
    parts = [f"# {table.title}"]
    if is_phantom(results):
        parts.append(f"> **{PHANTOM}**")
    if run_info:
        parts.append("\n".join(f"- {name}: {text}" for name, text in run_info.items()))
    parts += [f"## {grid.title}\n\n{_pipes(grid)}" for grid in value_grids(table, results)]
    if found:
        parts.append("## Comparisons")
    for metric, group in by_metric(found):
        grid = comparison_grid(table, metric, group)
        parts.append(f"### {grid.title}\n\n{_pipes(grid)}")
    parts.append("\n".join(f"- {note}" for note in footnotes(table, results, found)))
    return "\n\n".join(parts) + "\n"


def csv(table: Table, results: Results) -> str:
    """Return a table's values in long form, one a line; the paper's other rows too, without a value of ours.

    Columns: `phantom` ("phantom data: no result", else empty), `table`, `row`, `column`, `metric`, `mean`, `std`
    (sample, over seeds), `n` (number of seeds, 0 for what was not run), `paper_mean`, `paper_std`,
    `weights` (the beginning of the SHA-256 of each seed's weights, joined by spaces).
    """
    return _written(VALUE_COLUMNS, _value_lines(table, results), is_phantom(results))


def comparisons_csv(table: Table, results: Results) -> str:
    """Return a table's comparisons, one a line; values that there are not stay empty, and so do p-values and
    intervals of a table without significance. `by_seed` holds differences joined by spaces.

    Raises:
        InputError: when two cells that are to be compared did not test the same images.
    """
    lines = []
    for one in comparisons(table, results):
        line: dict[str, Any] = {
            "table": table.name, "row": one.treatment.row, "column": one.treatment.column, "against": one.control.row,
            "metric": one.metric, "note": one.note,
        }
        if not one.note:
            line |= {
                "difference": _digits(one.difference), "rank_biserial": _digits(one.effect), "better": one.better,
                "worse": one.worse, "groups": one.groups, "images": one.images,
                "by_seed": " ".join(_digits(difference) for difference in one.by_seed),
            }
            low, high = one.interval or (None, None)
            line |= {"low": _digits(low), "high": _digits(high)}
            line |= {"p": _digits(one.p_value), "p_holm": _digits(one.p_adjusted)}
        lines.append(line)
    return _written(COMPARISON_COLUMNS, lines, is_phantom(results))


def _value_lines(table: Table, results: Results) -> Iterator[dict[str, Any]]:
    cells = {(cell.row, cell.column): cell for cell in table.cells}
    others = [row.row for row in table.printed.rows] if table.printed else []
    for column in columns_of(table):
        for row in dict.fromkeys([*table.rows, *others]):
            cell = cells.get((row, column))
            result = results.get(cell) if cell else None
            for metric in metrics_of(table, results, column):
                found = value(result, metric)
                printed = table.printed.number(row, column, metric) if table.printed else None
                if found is None and printed is None and (cell is None or metric not in cell.metrics):
                    continue
                line: dict[str, Any] = {"table": table.name, "row": row, "column": column, "metric": metric, "n": 0}
                if found is not None and result is not None:
                    line["weights"] = " ".join(one[:12] for one in result.hashes)
                    line |= {"mean": _digits(found.mean), "std": _digits(found.std), "n": found.n}
                if printed is not None:
                    line |= {"paper_mean": _digits(printed.mean), "paper_std": _digits(printed.std)}
                yield line


def _written(columns: list[str], lines: Any, phantom: bool) -> str:
    text = io.StringIO()
    writer = DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({"phantom": IN_CSV if phantom else "", **line} for line in lines)
    return text.getvalue()


def _digits(number: float | None) -> str:
    return "" if number is None else f"{number:.8g}"


def _pipes(grid: Grid) -> str:
    lines = [grid.header, ["---", *["---:"] * (len(grid.header) - 1)], *grid.rows]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
