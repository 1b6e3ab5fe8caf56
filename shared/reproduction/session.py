"""One reproduction: tables and figures by name, their runs, and the pages that come of them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from shared import provenance
from shared.data.splits import check_choice
from shared.errors import InputError, message_of, root_cause
from shared.figures import FIGURES
from shared.files import make_folder, write_atomically
from shared.reproduction import html, tables
from shared.reproduction.experiments import tables as all_tables
from shared.reproduction.model import Cell, Run, Table
from shared.reproduction.plan import Job, duration, jobs
from shared.reproduction.profiles import Profile
from shared.reproduction.results import CellResult, check_hashes, load, weights_hashes
from shared.reproduction.runs import Runner


@dataclass
class Session:
    """What is reproduced, with which seeds and sizes.

    Args:
        runner: makes the runs.
        profile: their size.
        seeds: one run of everything for each.
        tables: by name.
        figures: by name.
    """

    runner: Runner
    profile: Profile
    seeds: Sequence[int]
    tables: Mapping[str, Table]
    figures: Sequence[str] = ()
    failures: dict[str, str] = field(default_factory=dict)

    def jobs(self) -> list[Job]:
        """Return every run that the tables (all seeds) and figures (the first seed) need, each once."""
        wanted = [cell.run for table in self.tables.values() for cell in table.cells]
        drawn = [run for name in self.figures for run in FIGURES[name].needs.values()]
        planned = jobs(map(self.profile.apply, wanted), self.seeds)
        return list(dict.fromkeys([*planned, *jobs(map(self.profile.apply, drawn), self.seeds[:1])]))

    def run(self) -> None:
        """Make what is not done. A run that fails is told and passed over; interrupted, the next call goes on here."""
        planned = self.jobs()
        # First what no other process is at; then wait for what others have begun.
        with tqdm(total=len(planned), desc="runs", disable=not sys.stderr.isatty()) as bar:
            for wait in (False, True):
                left = []
                for number, job in enumerate(planned, 1):
                    if not self._make(job, wait, f"{number}/{len(planned)}"):
                        left.append(job)
                    else:
                        bar.update()
                planned = left

    def _make(self, job: Job, wait: bool, place: str) -> bool:
        folder = self.runner.folder(job.run, job.seed)
        if self.runner.record(job.run, job.seed) is not None:
            return True
        tqdm.write(f"run {place}: {folder.name}  {_settings(job.run)}", file=sys.stdout)
        try:
            done = self.runner.make(job.run, job.seed, wait)
        # One run out of hundreds, which may take days, must not end the others: it is told now and at the end.
        except Exception as err:
            self.failures[folder.name] = message_of(err)
            if not isinstance(root_cause(err), InputError):
                make_folder(folder)
                (folder / "error.txt").write_text("".join(traceback.format_exception(err)), encoding="utf-8")
            tqdm.write(f"  failed: {message_of(err)}", file=sys.stdout)
            return True
        record = self.runner.record(job.run, job.seed)
        if record is not None:
            tqdm.write(f"  {duration(record['seconds'])}", file=sys.stdout)
        return done

    def load(self) -> dict[str, dict[Cell, CellResult | None]]:
        """Return the results of all tables, None for cells without a run; each with the seeds that are done.

        Raises:
            InputError: when files are damaged, or different runs have equal weights.
        """
        loaded = {name: {cell: self._cell(cell) for cell in table.cells} for name, table in self.tables.items()}
        check_hashes(weights_hashes({cell: result for cells in loaded.values() for cell, result in cells.items()}))
        return loaded

    def _cell(self, cell: Cell) -> CellResult | None:
        run = self.profile.apply(cell.run)
        folders = [self.runner.folder(run, seed) for seed in self.seeds if self.runner.record(run, seed) is not None]
        return load(cell, folders) if folders else None

    def write(self) -> list[Path]:
        """Write tables as Markdown and CSV, figures as PNG, and all of them as one page; return the files."""
        out, loaded = self.runner.out, self.load()
        make_folder(out)
        files: dict[str, bytes] = {}
        sections = []
        for name, table in self.tables.items():
            files[f"{name}.md"] = tables.markdown(table, loaded[name], self._about()).encode()
            files[f"{name}.csv"] = tables.csv(table, loaded[name]).encode()
            files[f"{name}-comparisons.csv"] = tables.comparisons_csv(table, loaded[name]).encode()
            sections.append(html.Section(table.title, table, loaded[name], html.panels(table, loaded[name])))
        for name in self.figures:
            picture = self._draw(name)
            if picture is not None:
                sections.append(picture)
        for file, content in files.items():
            write_atomically(out / file, content)
        names = [*self.tables, *self.figures]
        page = html.page("Reproduction: " + ", ".join(names), sections, self._about())
        write_atomically(out / "report.html", page.encode())
        return [*(out / file for file in files), *(out / f"{name}.png" for name in self.figures), out / "report.html"]

    def _draw(self, name: str) -> html.Section | None:
        """Draw a figure and return its part of the page; None, and a word about it, when a run is missing."""
        runs = {label: self.profile.apply(run) for label, run in FIGURES[name].needs.items()}
        records = [self.runner.record(run, self.seeds[0]) for run in runs.values()]
        if None in records:
            self.failures[name] = "not drawn: a run that it needs is missing"
            return None
        path = self.runner.out / f"{name}.png"
        folders = {label: self.runner.folder(run, self.seeds[0]) for label, run in runs.items()}
        write_atomically(path, FIGURES[name].draw(folders))
        phantom = any(record["phantom"] for record in records if record is not None)
        return html.Section(FIGURES[name].title, pictures=[html.Picture(name, path)], phantom=phantom)

    def _about(self) -> dict[str, str]:
        records = [self.runner.record(job.run, job.seed) for job in self.jobs()]
        done = [record for record in records if record is not None]
        seconds = sum(float(record["seconds"]) for record in done)
        data = [f"{name}: {folder}" for name, folder in self.runner.dataset_dirs.items()]
        return {
            "Command": provenance.command(),
            "Profile": f"{self.profile.name}: {self.profile.meaning}",
            "Seeds": ", ".join(map(str, self.seeds)),
            "Runs": f"{len(done)} of {len(records)} done, {duration(seconds)} of running time in all",
            "Device": ", ".join(sorted({record["device"] for record in done})),
            "Data": "; ".join(data) or "the bundles' defaults",
            "Versions": ", ".join(f"{name} {version}" for name, version in provenance.versions().items()),
            "Date": datetime.now(UTC).date().isoformat(),
        }


def select(names: Sequence[str]) -> tuple[dict[str, Table], list[str]]:
    """Return the tables and figures of some names; "all" is everything of the paper.

    Raises:
        InputError: for a name that there is not.
    """
    known = all_tables()
    if "all" in names:
        names = [*(name for name, table in known.items() if table.paper), *FIGURES]
    for name in names:
        check_choice("name", name, [*known, *FIGURES, "all"])
    return {name: known[name] for name in names if name in known}, [name for name in names if name in FIGURES]


def _settings(run: Run) -> str:
    return " ".join(f"{key}={value}" for key, value in run.overrides.items())

