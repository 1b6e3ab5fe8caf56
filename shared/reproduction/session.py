"""One reproduction: tables and figures by name, their runs, and the pages that come of them."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from shared.bundle import provenance
from shared.errors import InputError, message_of, root_cause
from shared.files import make_folder, write_atomically
from shared.reproduction import html, table_files
from shared.reproduction.commands import data_of
from shared.reproduction.description import Cell, Figure, Run, Table
from shared.reproduction.plan import Job, duration, jobs, stages
from shared.reproduction.profiles import Profile
from shared.reproduction.results import CellResult, check_hashes, load, weights_hashes
from shared.reproduction.runs import Runner, asks_for_vgg19

KEPT = "sections"
"""Folder of the sections that the next command's page shows again."""


@dataclass
class Session:
    """What is reproduced, with which seeds and sizes.

    Args:
        runner: makes the runs.
        profile: their size.
        seeds: one run of everything for each.
        tables: by what their files are called.
        figures: by what their files are called.
    """

    runner: Runner
    profile: Profile
    seeds: Sequence[int]
    tables: Mapping[str, Table]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def jobs(self) -> list[Job]:
        """Return every run that the tables (all seeds) and figures (the first seed) need, each once."""
        wanted = [cell.run.under(self.profile) for table in self.tables.values() for cell in table.cells]
        drawn = [run.under(self.profile) for figure in self.figures.values() for run in figure.needs.values()]
        return list(dict.fromkeys([*jobs(wanted, self.seeds), *jobs(drawn, self.seeds[:1])]))

    def run(self) -> None:
        """Make what is not done. A run that fails is told and passed over; interrupted, the next call goes on here.

        Raises:
            InputError: when the folder of the results cannot be made, or holds runs with other data, code or
                configuration.
        """
        make_folder(self.runner.out)
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
                write_atomically(folder / "error.txt", "".join(traceback.format_exception(err)).encode())
            tqdm.write(f"  failed: {message_of(err)}", file=sys.stdout)
            return True
        record = self.runner.record(job.run, job.seed)
        if record is not None:
            (folder / "error.txt").unlink(missing_ok=True)
            tqdm.write(f"  {duration(record['seconds'])}", file=sys.stdout)
        return done

    def load(self) -> dict[str, dict[Cell, CellResult | None]]:
        """Return the results of the tables, None for cells without a run; each with the seeds that are done.

        A table with damaged files is told and left out.

        Raises:
            InputError: when different runs have equal weights.
        """
        loaded = {}
        for name, table in self.tables.items():
            with self._told(name):
                loaded[name] = {cell: self._cell(cell) for cell in table.cells}
        check_hashes(weights_hashes({cell: result for cells in loaded.values() for cell, result in cells.items()}))
        return loaded

    def _cell(self, cell: Cell) -> CellResult | None:
        run = cell.run.under(self.profile)
        folders = [self.runner.folder(run, seed) for seed in self.seeds if self.runner.record(run, seed) is not None]
        return load(cell, folders) if folders else None

    def write(self) -> list[Path]:
        """Write tables as Markdown and CSV, figures as PNG, and all of them as one page; return the files.

        The page goes on with what earlier commands left in the folder, of whatever paper.
        """
        out, files, sections = self.runner.out, list[Path](), dict[str, Mapping[str, Any]]()
        make_folder(out / KEPT)
        about = self._about()
        for name, results in self.load().items():
            with self._told(name):
                sections[name] = html.prepared(self._table(name, results, about))
                files += [out / f"{name}.md", out / f"{name}.csv", out / f"{name}-comparisons.csv"]
        for name in self.figures:
            with self._told(name):
                sections[name] = html.prepared(self._figure(name))
                files.append(out / f"{name}.png")
        for name, section in sections.items():
            html.write(out / KEPT / f"{name}.json", section, about)
        sections |= self._earlier(sections)
        page = html.page("Reproduction: " + ", ".join(sections), list(sections.values()), about)
        write_atomically(out / "report.html", page.encode())
        return [*files, out / "report.html"]

    def _earlier(self, written: Container[str]) -> dict[str, Mapping[str, Any]]:
        """Return the sections that earlier commands left, by name; a damaged file is told and left out."""
        found: dict[str, Mapping[str, Any]] = {}
        for path in sorted((self.runner.out / KEPT).glob("*.json")):
            if path.stem not in written:
                with self._told(path.stem):
                    found[path.stem] = html.read(path)
        return found

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Tell what is wrong with one table or figure and go on: the others have cost days."""
        try:
            yield
        except InputError as err:
            self.failures[name] = f"not written: {err}"

    def _table(self, name: str, results: Mapping[Cell, CellResult | None], about: Mapping[str, str]) -> html.Section:
        """Write the files of a table and return its part of the page."""
        table = self.tables[name]
        files = {
            f"{name}.md": table_files.markdown(table, results, about),
            f"{name}.csv": table_files.csv(table, results),
            f"{name}-comparisons.csv": table_files.comparisons_csv(table, results),
        }
        for file, content in files.items():
            write_atomically(self.runner.out / file, content.encode())
        return html.Section(table.title, table, results, html.panels(table, results))

    def _figure(self, name: str) -> html.Section:
        """Draw a figure and return its part of the page.

        Raises:
            InputError: when a run is missing or cannot be shown.
        """
        figure = self.figures[name]
        runs = {label: run.under(self.profile) for label, run in figure.needs.items()}
        records = [self.runner.record(run, self.seeds[0]) for run in runs.values()]
        if None in records:
            raise InputError("a run that it needs is missing")
        path = self.runner.out / f"{name}.png"
        folders = {label: self.runner.folder(run, self.seeds[0]) for label, run in runs.items()}
        write_atomically(path, figure.draw(folders))
        phantom = any(record["phantom"] for record in records if record is not None)
        return html.Section(figure.title, pictures=[html.Picture(name, path)], phantom=phantom)

    def _about(self) -> dict[str, str]:
        planned = self.jobs()
        records = [self.runner.record(job.run, job.seed) for job in planned]
        done = [record for record in records if record is not None]
        shared = [self.runner.stage_record(job.run, stage, job.seed) for job, stage in stages(planned).values()]
        seconds = sum(float(record["seconds"]) for record in [*done, *shared] if record is not None)
        folders = {data_of(job.run): self.runner.dataset_dir(job.run) for job in planned}
        data = [f"{name}: {folder}" for name, folder in folders.items() if folder]
        versions = {", ".join(f"{name} {found}" for name, found in record["versions"].items()) for record in done}
        return {
            "Command": provenance.command(),
            "Profile": f"{self.profile.name}: {self.profile.meaning}",
            "Seeds": ", ".join(map(str, self.seeds)),
            "Runs": f"{len(done)} of {len(records)} done, {duration(seconds)} of running time in all",
            "Device": ", ".join(sorted({record["device"] for record in done})),
            "Data": "; ".join(data) or "the bundles' defaults",
            **self._about_loss(planned),
            "Versions": "; ".join(sorted(versions)),
            "Date": datetime.now(UTC).date().isoformat(),
        }

    def _about_loss(self, planned: Sequence[Job]) -> dict[str, str]:
        if not any(asks_for_vgg19(job.run) for job in planned):
            return {}
        file = self.runner.vgg19_weights
        return {"Perceptual loss": f"VGG19, {file}" if file else "none, for want of --vgg19_weights"}


def _settings(run: Run) -> str:
    return " ".join(f"{key}={value}" for key, value in run.overrides.items())
