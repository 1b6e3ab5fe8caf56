"""What a paper consists of: tables and figures, whose cells and pictures show what was measured in runs of bundles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from shared.reproduction.printed import PrintedTable
from shared.reproduction.profiles import Profile

Kind = Literal["enhancement", "recognition", "evaluation"]


@dataclass(frozen=True)
class Stage:
    """A first part of a training, which runs may share: what it makes does not depend on all of their settings.

    It is made once for all runs that are alike in the settings it depends on; they continue from its checkpoint.

    Attributes:
        name: as the bundle's checkpoint calls it, for example "recognition".
        run_id: the bundle's list of expressions that ends with this stage, for example "pretraining".
        trainer: what the bundle's configuration calls its trainer, an id such as "@train#trainer" or an expression.
        overrides: head keys that are given to the stage, and put all runs that share it on a par.
        ignores: head keys without influence on it.
        ignores_overlays: overlays without influence on it.
    """

    name: str
    run_id: str
    trainer: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    ignores: frozenset[str] = frozenset()
    ignores_overlays: frozenset[str] = frozenset()

    def of(self, run: Run) -> Run:
        """Return the stage of a run as a run of its own; runs that share the stage get the same one."""
        own = {key: value for key, value in run.overrides.items() if key not in self.ignores}
        overlays = tuple(name for name in run.overlays if name not in self.ignores_overlays)
        return Run(run.bundle, {**own, **self.overrides}, overlays)


@dataclass(frozen=True)
class Run:
    """One run of a bundle, but for the seed, the folders and what the profile adds.

    Attributes:
        bundle: its name, for example "gradprom_isic".
        overrides: head keys as given on the command line.
        overlays: files of ``shared/configs`` listed behind the bundle's own, for example ("challenging.json",).
        kind: "enhancement" trains the enhancement network (with its test at the end), "recognition" trains
            recognition networks alone, "evaluation" tests the weights of ``trained``.
        trained: the run whose weights an evaluation takes.
        shares: the first stages of its training, in their order, which other runs may have made already. They change
            how a run is made and not what comes of it, so equal runs may differ in them, as in what follows.
        trainers: what its configuration calls the trainers of its further stages, as ``Stage.trainer`` does.
        timeless: head keys without influence on how long it takes.
    """

    bundle: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    overlays: tuple[str, ...] = ()
    kind: Kind = "enhancement"
    trained: Run | None = None
    shares: tuple[Stage, ...] = field(default=(), compare=False)
    trainers: tuple[str, ...] = field(default=("@train#trainer",), compare=False)
    timeless: frozenset[str] = field(default=frozenset(), compare=False)

    def __hash__(self) -> int:
        return hash(self.identity())

    def with_overrides(self, **overrides: Any) -> Run:
        """Return a copy with further overrides."""
        return replace(self, overrides={**self.overrides, **overrides})

    def evaluated(self, *overlays: str, **overrides: Any) -> Run:
        """Return the run that tests this one's weights with further overlays and overrides, on other data say."""
        settings = {**self.overrides, **overrides}
        return Run(self.bundle, settings, (*self.overlays, *overlays), "evaluation", self, (), (), self.timeless)

    def under(self, profile: Profile) -> Run:
        """Return the run as a profile runs it.

        Raises:
            InputError: when the profile has no sizes for the run's bundle.
        """
        return replace(
            self,
            # What the profile says about sizes comes last: a table asks for the paper's backbone, for example.
            overrides={**profile.shorten(self.overrides), **profile.sizes(self.bundle)},
            overlays=(*self.overlays, *profile.overlays),
            trained=None if self.trained is None else self.trained.under(profile),
        )

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
        metrics: what is shown: "psnr", "ssim" (also "psnr_region"), how much they vary over the images ("psnr_std",
            "psnr_variance", "psnr_minimum", "psnr_maximum", "psnr_range"), and "accuracy" or "mean_iou" of ``task``.
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
        name: within its paper, for example "table1".
        title: one line.
        cells: in reading order; rows and columns appear in the order of their first cell.
        printed: the paper's numbers and contradictions, which stand beside ours; None for a table of our own.
        significance: whether p-values are given; without, effect sizes alone.
        notes: sentences below the table.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    printed: PrintedTable | None = None
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


@dataclass(frozen=True)
class Figure:
    """A figure of a paper, or one of our own.

    Attributes:
        title: one line.
        needs: runs by the label that the figure gives them.
        draw: takes the folders of these runs by label and returns a PNG file.
        paper: whether the paper has such a figure.
    """

    title: str
    needs: Mapping[str, Run]
    draw: Callable[[Mapping[str, str | Path]], bytes]
    paper: bool = True


@dataclass(frozen=True)
class Paper:
    """A paper: what of it is reproduced. A package in ``shared/reproduction/papers`` provides one as ``PAPER``.

    Attributes:
        name: what the command line puts in front, the name of the package: "gradprom" for "gradprom-table1".
        title: one line, for the help.
        tables: with the paper's numbers and contradictions, and tables of our own.
        figures: by name, for example "figure4".
        profiles: sizes for its bundles beside those for every bundle, by name, for example "cpu".
        short_names: whether commands and files leave out the paper's name; of one paper only.
    """

    name: str
    title: str
    tables: tuple[Table, ...] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    short_names: bool = False
