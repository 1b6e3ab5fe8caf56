"""One self-contained HTML page over tables and pictures: no other file, no script, no network."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from shared.errors import InputError
from shared.files import read_json, short_path, write_atomically
from shared.reproduction.description import Table
from shared.reproduction.layout import (
    NOT_RUN,
    PHANTOM,
    Results,
    by_metric,
    comparison_grid,
    comparisons,
    footnotes,
    is_phantom,
    value_grids,
)
from shared.reproduction.statistics import Comparison

TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
WIDTH, HEIGHT = 180, 18


@dataclass(frozen=True)
class Picture:
    """A picture of the report: a PNG or JPEG file and what stands below it."""

    title: str
    path: Path


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        title: its heading.
        table: shown with its comparisons, where there is one.
        results: of the table's cells; a cell that is missing or None is shown as not run.
        pictures: shown below the table.
        text: sentences above everything else.
        phantom: whether pictures come from phantom data (the results tell for themselves).
    """

    title: str
    table: Table | None = None
    results: Results = field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    text: Sequence[str] = ()
    phantom: bool = False


def page(title: str, sections: Sequence[Section | Mapping[str, Any]], run_info: Mapping[str, str]) -> str:
    """Return the report as one HTML document.

    Args:
        title: of the page.
        sections: in reading order, prepared (:func:`prepared`, :func:`read`) or not.
        run_info: what stands in the head, for example {"Device": "cpu", "Seeds": "0, 1, 2", "Date": ...}.

    Returns:
        The document, with pictures embedded. When anything in it comes from phantom data its head says that
        phantom data are no result, and so does each such section.

    Raises:
        InputError: when a picture cannot be read, or two cells that are to be compared tested different images.
    """
    shown = [prepared(section) if isinstance(section, Section) else section for section in sections]
    return _template().render(
        title=title,
        run_info=dict(run_info),
        sections=[{**section, "anchor": f"part-{number}"} for number, section in enumerate(shown, start=1)],
        phantom=PHANTOM if any(section["phantom"] for section in shown) else None,
    )


def prepared(section: Section) -> dict[str, Any]:
    """Return all that a page shows of a section, pictures included.

    Raises:
        InputError: as :func:`page`.
    """
    table = section.table
    found = comparisons(table, section.results) if table else []
    return {
        "title": section.title,
        "text": list(section.text),
        "phantom": section.phantom or is_phantom(section.results),
        "grids": value_grids(table, section.results) if table else [],
        "comparisons": [_compared(table, metric, group) for metric, group in by_metric(found)] if table else [],
        "significance": table is not None and table.significance,
        "notes": footnotes(table, section.results, found) if table else [],
        "done": _done(table, section.results) if table and table.cells else None,
        "pictures": [{"title": picture.title, "source": _embedded(picture.path)} for picture in section.pictures],
        "not_run": NOT_RUN,
        "run_info": None,
    }


def write(path: Path, section: Mapping[str, Any], run_info: Mapping[str, str]) -> None:
    """Write a prepared section as JSON, so that the pages of later commands show it again, with the head of its own."""
    content = {**section, "run_info": dict(run_info)}
    write_atomically(path, json.dumps(content, default=asdict, ensure_ascii=False).encode())


def read(path: Path) -> dict[str, Any]:
    """Return a section that an earlier command wrote.

    Raises:
        InputError: when the file is damaged, or of a version that showed other things.
    """
    content = read_json(path, "a section of a report")
    if content.keys() != prepared(Section("")).keys():
        raise InputError(f"{short_path(path)}: expected a section of a report as this version writes it; delete it")
    return content


def panels(table: Table, results: Results) -> list[Picture]:
    """Return the panels of a table's runs, of the first seed and the last column, one for each row that has any."""
    found: dict[Path, Picture] = {}
    for cell in table.cells:
        result = results.get(cell)
        if result is not None and cell.column == table.columns[-1]:
            path = result.folders[0] / "eval/panel.png"
            if path.is_file():
                found.setdefault(path, Picture(f"{cell.row}, {cell.column}, seed {result.seeds[0]}", path))
    return list(found.values())


def _done(table: Table, results: Results) -> str:
    run = sum(results.get(cell) is not None for cell in table.cells)
    return f"{run} of {len(table.cells)} cells were run."


def _compared(table: Table, metric: str, group: Sequence[Comparison]) -> dict[str, Any]:
    ends = [abs(end) for one in group if not one.note for end in (one.interval or (one.difference,))]
    ends += [abs(difference) for one in group for difference in one.by_seed]
    scale = max(ends, default=0.0) or 1.0
    grid = comparison_grid(table, metric, group)
    lines = [
        {"texts": texts, "plot": whisker(one, scale), "verdict": _verdict(one)}
        for texts, one in zip(grid.rows, group, strict=True)
    ]
    return {"title": grid.title, "header": grid.header, "lines": lines, "scale": f"{scale:.3g}"}


def _verdict(one: Comparison) -> str:
    """Return how a line is marked: by a corrected p-value below 0.05 alone."""
    if one.p_adjusted is None or one.p_adjusted >= 0.05:
        return ""
    return "better" if one.effect > 0 else "worse"


def whisker(one: Comparison, scale: float) -> str:
    """Return a small drawing of a comparison: zero, the interval, the mean, and a tick for each seed.

    Args:
        one: what is drawn; nothing where it has no numbers.
        scale: the difference at the right edge, > 0; minus this is at the left edge.
    """
    if one.note:
        return ""
    middle, half = WIDTH / 2, WIDTH / 2 - 6

    def x(difference: float) -> str:
        return f"{middle + half * max(-1.0, min(1.0, difference / scale)):.1f}"

    shapes = [f'<line class="zero" x1="{middle}" x2="{middle}" y1="0" y2="{HEIGHT}"/>']
    shapes += [f'<line class="seed" x1="{x(d)}" x2="{x(d)}" y1="3" y2="{HEIGHT - 3}"/>' for d in one.by_seed]
    if one.interval is not None:
        ends = f'x1="{x(one.interval[0])}" x2="{x(one.interval[1])}"'
        shapes.append(f'<line class="interval" {ends} y1="{HEIGHT // 2}" y2="{HEIGHT // 2}"/>')
    shapes.append(f'<circle cx="{x(one.difference)}" cy="{HEIGHT // 2}" r="4"/>')
    # Numbers alone are put together here; names of rows pass through the template, which escapes them.
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true">'
    return head + "".join(shapes) + "</svg>"


def _embedded(path: Path) -> str:
    kind = TYPES.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{short_path(path)}: found a picture of type {path.suffix!r}, expected {', '.join(TYPES)}")
    try:
        content = path.read_bytes()
    except OSError as err:
        raise InputError(f"picture {short_path(path)} cannot be read: {err.strerror or err}") from err
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")
