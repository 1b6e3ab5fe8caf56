"""What a table consists of: runs of bundles, and cells that show what was measured in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Kind = Literal["enhancement", "recognition", "evaluation"]


@dataclass(frozen=True)
class Run:
    """One run of a bundle, but for the seed, the folders and what the profile adds.

    Attributes:
        bundle: its name, for example "gradprom_isic".
        overrides: head keys as given on the command line.
        overlays: files of ``shared/configs`` listed behind the bundle's own, for example ("challenging.json",).
        kind: "enhancement" trains IP (with its test at the end), "recognition" trains VR alone on degraded images
            (benchmarks ii and iii), "evaluation" tests the weights of ``trained`` (domain generalisation).
        trained: the run whose weights an evaluation takes.
    """

    bundle: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    overlays: tuple[str, ...] = ()
    kind: Kind = "enhancement"
    trained: Run | None = None

    def __hash__(self) -> int:
        return hash(self.identity())

    def with_overrides(self, **overrides: Any) -> Run:
        """Return a copy with further overrides."""
        return replace(self, overrides={**self.overrides, **overrides})

    def identity(self) -> str:
        """Return a name that two runs share when they are the same run, and only then (16 hexadecimal digits)."""
        content = {
            "bundle": self.bundle,
            "overrides": dict(sorted(self.overrides.items())),
            "overlays": list(self.overlays),
            "kind": self.kind,
            "trained": None if self.trained is None else self.trained.identity(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Cell:
    """One place of a table: where it stands, which run fills it, and what of it is shown.

    Attributes:
        row: the row's label, unique within the table, for example "Sup. GradProm".
        column: the column's label, for example "σ = 0.1".
        run: what is measured.
        version: which images are measured, "enhanced", "degraded", or a baseline such as "non_local_means".
        metrics: what is shown: "psnr", "ssim" (also "psnr_region"), and "accuracy" or "mean_iou" of ``task``.
        task: the recognition task behind the last metric, "diagnosis" or "segmentation"; None without one.
        compare_with: rows of the same column that this cell is tested against, pair by pair of images.
    """

    row: str
    column: str
    run: Run
    version: str = "enhanced"
    metrics: tuple[str, ...] = ("psnr", "ssim")
    task: str | None = None
    compare_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of a paper, or one of our own.

    Attributes:
        name: what the command line calls it, for example "table1".
        title: one line.
        cells: in reading order; rows and columns appear in the order of their first cell.
        paper: whether the paper has such a table, so that its numbers stand beside ours.
        significance: whether p-values are given; without, effect sizes alone.
        notes: sentences below the table.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    paper: bool = True
    significance: bool = True
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[str]:
        """Labels of the rows, in order."""
        return list(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def columns(self) -> list[str]:
        """Labels of the columns, in order."""
        return list(dict.fromkeys(cell.column for cell in self.cells))
