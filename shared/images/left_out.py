"""What a search for images leaves out, and how a person is told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from shared.files import short_path

_SHOWN = 5
_SHOWN_PATHS = 3


@dataclass
class LeftOut:
    """What lies in a folder and is not taken, counted by reason.

    Attributes:
        other_kinds: files that are no images, by suffix.
        no_intensities: files without an image of intensities, by what they hold ("label maps").
        results: results that an earlier run has made, by the report that names them.
        hidden_files, hidden_folders: names that begin with a dot.
        circles: linked folders that lead back to what holds them.
        repeated: linked folders that are searched elsewhere already.
        broken_links: links to nothing.
        closed: files and folders that may not be opened.
        devices: sockets, pipes and devices.
        outputs: folders that hold the results of this run.
    """

    other_kinds: Counter[str] = field(default_factory=Counter)
    no_intensities: Counter[str] = field(default_factory=Counter)
    results: Counter[Path] = field(default_factory=Counter)
    hidden_files: int = 0
    hidden_folders: int = 0
    circles: list[Path] = field(default_factory=list)
    repeated: list[Path] = field(default_factory=list)
    broken_links: list[Path] = field(default_factory=list)
    closed: list[Path] = field(default_factory=list)
    devices: list[Path] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)

    def add(self, other: LeftOut) -> None:
        """Count what another search left out, too."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    def __str__(self) -> str:
        """The reasons in one line: ``left out: 2 files of other kinds (.txt 1, .json 1), 3 hidden files``."""
        kinds = self.other_kinds.total()
        parts = [_counted(kinds, "file of another kind", "files of other kinds", _most_common(self.other_kinds))]
        parts += [_counted(count, _singular(kind), kind) for kind, count in sorted(self.no_intensities.items())]
        results = self.results.total()
        parts.append(_counted(results, "result of earlier runs", "results of earlier runs", _paths([*self.results])))
        parts.append(_counted(self.hidden_files, "hidden file", "hidden files"))
        parts.append(_counted(self.hidden_folders, "hidden folder", "hidden folders"))
        for paths, one, many in (
            (self.circles, "linked folder that leads back", "linked folders that lead back"),
            (self.repeated, "linked folder that is searched already", "linked folders that are searched already"),
            (self.broken_links, "broken link", "broken links"),
            (self.closed, "folder or file that may not be opened", "folders or files that may not be opened"),
            (self.devices, "device or pipe", "devices and pipes"),
            (self.outputs, "output folder", "output folders"),
        ):
            parts.append(_counted(len(paths), one, many, _paths(paths)))
        return f"left out: {', '.join(part for part in parts if part)}"


def kind_of(path: Path) -> str:
    """What a file that is no image is counted as."""
    return path.suffix.lower() or "without suffix"


def _counted(count: int, one: str, many: str, details: str = "") -> str:
    if not count:
        return ""
    return f"{count} {one if count == 1 else many}{f' ({details})' if details else ''}"


def _most_common(kinds: Counter[str]) -> str:
    shown = [f"{kind} {count}" for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))]
    more = len(shown) - _SHOWN
    return ", ".join(shown[:_SHOWN] + ([f"{more} more kinds"] if more > 0 else []))


def _paths(paths: Sequence[Path]) -> str:
    more = len(paths) - _SHOWN_PATHS
    return ", ".join([short_path(path) for path in paths[:_SHOWN_PATHS]] + ([f"{more} more"] if more > 0 else []))


def _singular(kind: str) -> str:
    """One of several: ``label maps`` to ``label map``."""
    return re.sub(r"\b(\w+[^s\W])s\b", r"\1", kind)
