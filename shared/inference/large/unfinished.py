"""What is finished of a large image, kept beside its place so that a run that was killed goes on from there."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from shared.errors import InputError
from shared.files import make_folder, write_atomically
from shared.inference.large.tile_file import TileFile

_PIECE = 2**22


class Unfinished:
    """The rows of tiles of one image that are on disk; use it as a context manager, which locks it.

    A hidden folder beside the image holds the file as far as it is written and a journal. The journal's first line says
    what the image is made of, the second holds its intensities, and each further one the sizes and the checksum of a
    row of tiles. A line is added after its tiles. So whatever a kill leaves behind, the tiles that whole lines name are
    there; what else is there is cut off. A journal that names another origin counts for nothing, and so do rows of
    tiles from the first one on whose checksum does not hold.

    Attributes:
        output: path of the image.
        folder: where it is kept.
        intensities: what :meth:`begin` was told, in this run or in an earlier one; None before.
        rows: number of finished rows of tiles, once :meth:`open` was called.
        outdated: whether an earlier run was found that had another origin.

    Args:
        output: path of the image.
        origin: all that decides about the result, as JSON types.

    Raises:
        InputError: the folder cannot be made, or another process is working on the same image.
    """

    def __init__(self, output: Path, origin: Mapping[str, Any]) -> None:
        self.output = output
        self.folder = output.with_name(f".{output.name}.unfinished")
        self.intensities: dict[str, Any] | None = None
        self.rows = 0
        self.outdated = False
        self._origin = json.loads(json.dumps(origin))
        self._image = self.folder / "image.tif"
        self._journal = self.folder / "journal.jsonl"
        self._entries: list[dict[str, Any]] = []
        self._lock = FileLock(self.folder / "lock")
        self._file: BinaryIO | None = None

    def __enter__(self) -> Unfinished:
        make_folder(self.folder)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as err:
            raise InputError(f"{self.output}: another process is enhancing this image, expected none") from err
        found = self._read_journal()
        if found[:1] == [self._origin]:
            self.intensities = found[1] if len(found) > 1 else None
            self._entries = found[2:]
        self.outdated = found[:1] not in ([], [self._origin])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        self._lock.release()

    def begin(self, intensities: dict[str, Any]) -> None:
        """Remember the image's intensities, which take passes over the source."""
        self.intensities = intensities
        self._write_journal()

    def open(self, form: TileFile) -> None:
        """Go on behind the finished tiles of a file of this form."""
        first = form.first_tile
        self._file = self._image.open("r+b" if self._image.exists() else "w+b")
        self._entries = self._entries[: self._count_valid(first)]
        self.rows = len(self._entries)
        self._file.truncate(first + sum(self._sizes()))
        self._file.seek(0, os.SEEK_END)
        self._write_journal()

    def append(self, tiles: Sequence[bytes]) -> None:
        """Add a row of tiles; it stays when the process is killed afterwards.

        Raises:
            OSError: it cannot be written, for example for want of space; the rows before it stay.
        """
        if self._file is None:
            raise RuntimeError("Unfinished: append before open")
        checksum = 0
        for tile in tiles:
            self._file.write(tile)
            checksum = zlib.crc32(tile, checksum)
        self._file.flush()
        entry = {"sizes": [len(tile) for tile in tiles], "checksum": checksum}
        with self._journal.open("a", encoding="ascii") as journal:
            journal.write(json.dumps(entry) + "\n")
        self._entries.append(entry)
        self.rows += 1

    def finish(self, form: TileFile) -> None:
        """Put the image, all rows of which are there, in its place and remove the rest."""
        if self._file is not None:
            self._file.close()
        form.complete(self._image, self._sizes())
        os.replace(self._image, self.output)
        self.discard()

    def discard(self) -> None:
        """Remove all that is kept."""
        if self._file is not None:
            self._file.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def size(self) -> int:
        """Bytes of the finished tiles."""
        return sum(self._sizes())

    def _sizes(self) -> list[int]:
        return [size for entry in self._entries for size in entry["sizes"]]

    def _read_journal(self) -> list[Any]:
        """All lines that are whole."""
        try:
            text = self._journal.read_text(encoding="ascii")
            return [json.loads(line) for line in text.split("\n")[:-1]]
        except (OSError, ValueError):
            return []

    def _write_journal(self) -> None:
        lines = [self._origin, self.intensities, *self._entries]
        write_atomically(self._journal, "".join(json.dumps(line) + "\n" for line in lines).encode("ascii"))

    def _count_valid(self, first: int) -> int:
        """Number of rows of tiles at the file's beginning whose checksums hold."""
        if self._file is None:
            return 0
        self._file.seek(first)
        for index, entry in enumerate(self._entries):
            checksum, left = 0, sum(entry["sizes"])
            while left and (piece := self._file.read(min(left, _PIECE))):
                checksum, left = zlib.crc32(piece, checksum), left - len(piece)
            if left or checksum != entry["checksum"]:
                return index
        return len(self._entries)
