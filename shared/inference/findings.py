"""What a run has to say about its results as a whole, in a few closing lines."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from shared.images.guard import CHANGED
from shared.images.modality import other_modality
from shared.images.picture import SourceRecord
from shared.images.scaling import DEPTHS

_NAMED = 3


class Findings:
    """Counts what was found about the images of a run.

    Args:
        trained_on: modality of the images that the network was trained on, see
            :func:`~shared.images.modality.other_modality`.
    """

    def __init__(self, trained_on: str) -> None:
        self._trained_on = trained_on
        self._modalities: set[str] = set()
        self._depths: dict[str, Counter[int]] = defaultdict(Counter)
        self._folders: dict[str, set[Path]] = defaultdict(set)
        self._changed: list[str] = []

    def modality(self, found: str | None) -> tuple[str | None, bool]:
        """What there is to say about an image's modality, and whether it is said for the first time."""
        warning = other_modality(self._trained_on, found)
        is_first = warning is not None and warning not in self._modalities
        if warning is not None:
            self._modalities.add(warning)
        return warning, is_first

    def add(self, file: Path, bits: int | None, notes: Iterable[str]) -> None:
        """Count an image.

        Args:
            file: the source.
            bits: depth that its scaling goes by, None where it goes by something else or the file has no other.
            notes: what was said about its result.
        """
        if bits is not None:
            kind = file.suffix.lower()
            self._depths[kind][bits] += 1
            self._folders[kind].add(file.parent)
        if any(CHANGED in note for note in notes):
            self._changed.append(file.name)

    def lines(self, report: str | None = None) -> list[str]:
        """The closing lines, none where there is nothing to say.

        Args:
            report: name of a file that tells more; None to name images.
        """
        lines = self._ranges()
        if self._changed:
            more = len(self._changed) - _NAMED
            names = [*self._changed[:_NAMED], *([f"{more} more"] if more > 0 else [])]
            where = f"see {report}" if report is not None else ", ".join(names)
            images = "image" if len(self._changed) == 1 else "images"
            lines.append(f"{len(self._changed)} {images} {CHANGED}: {where}")
        return lines

    def _ranges(self) -> list[str]:
        different = [kind for kind, counts in self._depths.items() if len(counts) > 1]
        if not different:
            return []
        depths = sum((self._depths[kind] for kind in different), Counter())
        found = ", ".join(f"{bits} bits ({count})" for bits, count in sorted(depths.items()))
        is_one = len(set().union(*(self._folders[kind] for kind in different))) == 1
        files = f"files of one {'folder' if is_one else 'kind'} were scaled by different ranges"
        wanted = next(bits for bits in DEPTHS if bits >= max(depths))
        return [f"note: {files}: {found}; --bits {wanted} gives all the same"]


def depth_of(record: SourceRecord) -> int | None:
    """Depth that an image's scaling goes by, where the file could hold another one."""
    return record.bits if np.dtype(record.dtype).itemsize > 1 else None


def depth_in(scaling: str) -> int | None:
    """Depth that a scaling goes by, from its words; None where it goes by something else."""
    found = re.match(r"(\d+) bits\b", scaling)
    return None if found is None else int(found[1])
