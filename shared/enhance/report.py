"""The report of a run: one row per image in a CSV file, written as soon as the image is done."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from shared.errors import InputError
from shared.files import csv_lines, make_folder, unescape_cell, write_atomically
from shared.images.earlier_results import is_report

OK, FAILED, SKIPPED = "ok", "failed", "skipped"
_UP_TO_DATE = "up to date"


@dataclass(frozen=True)
class Row:
    """What became of one image.

    Attributes:
        file: the source, relative to the input folder that holds it; of a series its first slice.
        output: the result, relative to the output folder; empty where there is none.
        status: "ok", "failed", or "skipped" where an earlier run had made the result.
        seconds: to read, enhance and write it.
        width, height, slices, channels: of the source.
        files: number of image files of the result, more than 1 where it is a folder.
        scaling: which stored values the network saw as 0 and 1, and why.
        message: why it failed, or what else there is to say.
        folder: the output folder, seen from the report's.
        source: fingerprint of the name, size and time of the last change of each of the source's files.
        model: fingerprint of the weights and settings.
    """

    file: str
    output: str
    status: str
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    slices: int | None = None
    channels: int | None = None
    files: int | None = None
    scaling: str = ""
    message: str = ""
    folder: str = ""
    source: str = ""
    model: str = ""

    def fits(self, other: Row) -> bool:
        """Whether both rows are about the same content of the same source and the same model."""
        keys = ("file", "output", "source", "model")
        return all(getattr(self, key) == getattr(other, key) for key in keys)

    def skipped(self) -> Row:
        """The row of an earlier run, as it stands in the report of a later one: what was said about it still holds."""
        said = self.message.removeprefix(_UP_TO_DATE).removeprefix("; ")
        return replace(self, status=SKIPPED, seconds=None, message=f"{_UP_TO_DATE}; {said}" if said else _UP_TO_DATE)


COLUMNS = [field.name for field in fields(Row)]
# A name of a file that is no UTF-8 stays what it is.
_ENCODING: Any = {"encoding": "utf-8", "errors": "surrogateescape"}
_WHOLE = ("width", "height", "slices", "channels", "files")
_TEXTS = ("file", "output", "scaling", "message", "folder")


class Report:
    """The rows of a run in a CSV file (UTF-8, header, quoted where needed).

    No name or message can be a formula in a spreadsheet (:func:`~shared.files.escape_cell`).

    The file is replaced at once when the run begins, by a report of what is known then; each row that follows is on
    disk before the next image begins, so that a killed run leaves a report of what it did.

    Args:
        path: the file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, rows: Iterable[Row]) -> None:
        """Replace the file by a header and some rows.

        Raises:
            InputError: it cannot be written.
        """
        make_folder(self.path.parent)
        text = f"{','.join(COLUMNS)}\n{_lines(rows)}"
        write_atomically(self.path, text.encode(**_ENCODING))

    def add(self, row: Row) -> None:
        """Append a row.

        Raises:
            InputError: it cannot be written.
        """
        try:
            with open(self.path, "a", newline="", **_ENCODING) as file:
                file.write(_lines([row]))
        except OSError as err:
            raise InputError(f"{self.path} cannot be written: {err.strerror or err}") from err


@contextlib.contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Keep other runs from writing a report for as long as the context lasts.

    The operating system holds the lock, on a hidden file beside the report, and lets go of it however the process ends:
    a file that a killed run leaves behind hinders nobody.

    Raises:
        InputError: another run is writing the report, or no file can be made beside it.
    """
    make_folder(path.parent)
    file = path.with_name(f".{path.name}.lock")
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout as err:
        raise InputError(
            f"{path.parent}: another run is at work in this folder and writes {path.name}, expected none; "
            "wait for its end or name another folder"
        ) from err
    except OSError as err:
        raise InputError(f"{path} cannot be written: {err.strerror or err}") from err
    try:
        yield
    finally:
        # While it is locked: who has opened it meanwhile finds it gone (filelock looks), and starts with a new file.
        with contextlib.suppress(OSError):
            file.unlink()
        lock.release()


def read_report(path: Path) -> dict[str, Row]:
    """Return the rows of results that an earlier run made or found, by their ``output``.

    A half-written row, which a kill can leave, is passed over. The reports of earlier versions of this command, which
    have fewer columns, are read as far as they go.

    Raises:
        InputError: there is a file, and it is no such report.
    """
    if not path.exists():
        return {}
    if not path.is_file():
        raise InputError(f"{path}: is a folder or a device, expected a file for the report")
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            header, lines = reader.fieldnames, list(reader)
    except (OSError, csv.Error) as err:
        raise InputError(f"{path}: cannot be read as a report: {err}") from err
    if header is None:
        return {}
    if not is_report(header):
        raise InputError(f"{path}: is no report of this command and is not overwritten; name another file by --report")
    rows = [row for row in map(_row, lines) if row is not None]
    return {row.output: row for row in rows if row.status in (OK, SKIPPED)}


def _lines(rows: Iterable[Row]) -> str:
    return csv_lines(COLUMNS, map(_cells, rows), _TEXTS)


def _cells(row: Row) -> dict[str, Any]:
    cells = asdict(row)
    if row.seconds is not None:
        cells["seconds"] = f"{row.seconds:.3f}"
    return cells


def _row(cells: dict[str, Any]) -> Row | None:
    if None in cells or None in cells.values():
        return None
    known = {name: cells[name] for name in COLUMNS if name in cells}
    try:
        whole = {key: int(cells[key]) if cells.get(key) else None for key in _WHOLE}
        seconds = float(cells["seconds"]) if cells.get("seconds") else None
    except ValueError:
        return None
    texts = {name: unescape_cell(known[name]) for name in _TEXTS if name in known}
    return Row(**{**known, **texts, **whole, "seconds": seconds})
