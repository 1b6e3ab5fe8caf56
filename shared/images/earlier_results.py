"""Results of earlier runs among the files of a folder, recognised by the reports that name them."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.files import digest, unescape_cell

_FIRST = ("file", "output", "status")
_NEEDED = {*_FIRST, "source", "model"}
_MADE = ("ok", "skipped")
_LONGEST_HEADER = 4096


def is_report(header: Sequence[str]) -> bool:
    """Whether the first line of a CSV file is that of a report of ``shared.enhance``, of any version."""
    return tuple(header[: len(_FIRST)]) == _FIRST and set(header) >= _NEEDED


def fingerprint(files: Iterable[Path]) -> str:
    """Twelve digits that change when a file is changed, renamed or replaced, in whatever order they come.

    Raises:
        OSError: a file cannot be looked at.
    """
    states = sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return digest(repr(states).encode(errors="surrogateescape"))[:12]


@dataclass(frozen=True)
class _Result:
    """One that a report names.

    Attributes:
        report: the file.
        folder: output folder of the run.
        source: fingerprint of what it was made of.
    """

    report: Path
    folder: Path
    source: str


def is_report_file(path: Path) -> bool:
    """Whether a file is a report, by its suffix and first line."""
    if path.suffix.lower() != ".csv":
        return False
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return is_report(next(csv.reader([file.readline(_LONGEST_HEADER)]), []))
    # Whatever else it is.
    except (OSError, csv.Error):
        return False


def without_results(
    images: Sequence[Path], reports: Iterable[Path], root: Path
) -> tuple[list[Path], Counter[Path]]:
    """Leave out what earlier runs have made.

    Each row of a report names a file, or a folder that is one result as a whole. A file that is itself the source of
    the row, as where a report was moved beside the sources, is none.

    Args:
        images: all images below ``root``.
        reports: all reports there.
        root: folder that is searched. Where it is (a part of) the output folder of an earlier run and holds nothing but
            its results, these are what is meant, and stay.

    Returns:
        The images that stay, in their order, and the number of results that are left out, by report.
    """
    named: dict[Path, _Result] = {}
    for report in reports:
        named |= _named_by(report)
    if not named:
        return list(images), Counter()
    kept, left = [], set()
    for path in images:
        result = _result_of(path, named)
        if result is None:
            kept.append(path)
        else:
            left.add(result)
    here = root.resolve()
    if not kept and all(here.is_relative_to(named[result].folder) for result in left):
        return list(images), Counter()
    return kept, Counter(named[result].report for result in left)


def _named_by(report: Path) -> dict[Path, _Result]:
    """The results of a report by their resolved paths."""
    named = {}
    try:
        with open(report, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, csv.Error):
        return {}
    for row in rows:
        if row["status"] in _MADE and row["output"]:
            # Reports of version 0.3 do not say where the results lie: beside them, as nearly always.
            folder = (report.parent / unescape_cell(row.get("folder") or ".")).resolve()
            output = Path(os.path.normpath(folder / unescape_cell(row["output"])))
            named[output] = _Result(report, folder, row["source"] or "")
    return named


def _result_of(path: Path, named: dict[Path, _Result]) -> Path | None:
    """The result that a file is or is a part of, one of ``named``; None where it is none."""
    place = path.parent.resolve() / path.name
    for candidate in (place, *place.parents):
        if candidate in named:
            return None if _is_source(candidate, named[candidate]) else candidate
    return None


def _is_source(path: Path, result: _Result) -> bool:
    try:
        files = [path]
        if path.is_dir():
            files = [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
        return fingerprint(files) == result.source
    except OSError:
        return False
