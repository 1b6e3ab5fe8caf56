"""Reproduce the papers' tables and figures: python scripts/reproduce.py gradprom-table1 (once `shared` is installed).

Every run is a run of a bundle through MONAI's runner. What is done is not done again: a reproduction that was stopped
goes on where it was, and several processes may work on one folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from shared.errors import InputError, message_of
from shared.files import short_path
from shared.reproduction import papers
from shared.reproduction.commands import data_of
from shared.reproduction.plan import Estimate, describe, duration, stages
from shared.reproduction.runs import Runner
from shared.reproduction.session import Session


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    known = [papers.paper(name) for name in papers.names()]
    parser = argparse.ArgumentParser(
        description="Reproduce tables and figures of papers.",
        epilog="\n".join(["papers:", *(f"  {paper.name:9} {paper.title}" for paper in known)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = "PAPER-table1 …, PAPER-figure2 …, or PAPER-all (what the paper has, and all figures); --list names all"
    short = [f"; {paper.name}- may be left out" for paper in known if paper.short_names]
    parser.add_argument("names", nargs="*", metavar="NAME", help=names + "".join(short))
    parser.add_argument("--list", action="store_true", help="say what there is, and end")
    parser.add_argument("--dry-run", action="store_true", help="print every run with an estimate of its time, and end")
    parser.add_argument(
        "--dataset_dir", action="append", default=[], metavar="[NAME=]FOLDER",
        help="folder of a data set (once for each; NAME= may be left out where all runs read one data set); else "
        "$MONAI_DATA_DIRECTORY/NAME, else phantom data",
    )
    parser.add_argument(
        "--vgg19_weights", metavar="FILE",
        help="torchvision's state dict of VGG19, for perceptual losses; without it there are none",
    )
    parser.add_argument("--repeats", type=int, metavar="N", help="seeds 0 … N-1 (default: 3; 1 for profile smoke)")
    parser.add_argument("--out", default="results", metavar="FOLDER", help="where everything goes (default: results)")
    profiles = papers.profiles()
    meanings = "; ".join(f"{name}: {profile.meaning}" for name, profile in profiles.items())
    parser.add_argument("--profile", choices=list(profiles), default="full", help=f"default: full. {meanings}")
    options = parser.parse_args(arguments)
    if not options.names and not options.list:
        parser.error("expected the name of a table or figure, or all; --list says what there is")
    if options.repeats is None:
        options.repeats = 1 if options.profile == "smoke" else 3
    if options.repeats < 1:
        parser.error(f"--repeats: found {options.repeats}, expected at least 1")
    return options


def folders(given: Sequence[str], data: Iterable[str]) -> dict[str, str]:
    """Return the folders of the data sets by name.

    Args:
        given: as on the command line, "NAME=FOLDER" or "FOLDER".
        data: names of the data sets that are read; a folder without a name is that of the only one.

    Raises:
        InputError: when a folder does not exist, or it is not clear whose it is.
    """
    known, found = sorted(set(data)), {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals:
            name, folder = known[0], text
        if name not in known or not equals and len(known) > 1:
            raise InputError(f"--dataset_dir {text}: expected NAME=FOLDER with a name of {', '.join(known)}")
        if not Path(folder).expanduser().is_dir():
            raise InputError(f"--dataset_dir {text}: found no folder {folder}, expected that of data set {name!r}")
        found[name] = str(Path(folder).expanduser().resolve())
    return found


def file(given: str | None) -> str | None:
    """Return the whole path of VGG19's weights.

    Raises:
        InputError: when there is no such file.
    """
    if given is None:
        return None
    if not Path(given).expanduser().is_file():
        raise InputError(f"--vgg19_weights: expected an existing file, found {given!r}")
    return str(Path(given).expanduser().resolve())


def list_all() -> None:
    """Print every paper with its tables and figures."""
    for paper in map(papers.paper, papers.names()):
        print(paper.title + (f"; {paper.name}- may be left out of these names" if paper.short_names else ""))
        titles = {table.name: table.title for table in paper.tables}
        titles |= {name: figure.title for name, figure in paper.figures.items()}
        for name, title in titles.items():
            print(f"{paper.name}-{name:9} {title}")


def show(session: Session) -> None:
    """Print every run with its command, and the time that those to come may take."""
    jobs, runner = session.jobs(), session.runner
    estimate, to_come = Estimate(runner, jobs), [job for job in jobs if runner.record(job.run, job.seed) is None]
    total = 0.0
    for job in jobs:
        seconds = estimate.seconds(job.run) if job in to_come else None
        total += seconds or 0.0
        print(describe(job, runner, seconds), flush=True)
    for job, stage in stages(to_come).values():
        if runner.stage_record(job.run, stage, job.seed) is None:
            seconds = estimate.stage_seconds(job.run, stage)
            total += seconds
            folder = runner.stage_folder(job.run, stage, job.seed)
            print(f"[about {duration(seconds)}] {folder.name}, for all runs that share it", flush=True)
    print(f"{len(jobs)} runs; those to come take about {duration(total)} on this machine, as measured by runs that are "
          "done and by a few steps of what is not")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write and report; return the exit code."""
    options = parse(arguments)
    if options.list:
        list_all()
        return 0
    try:
        return reproduce(options)
    except InputError as err:
        print(f"error: {message_of(err)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def reproduce(options: argparse.Namespace) -> int:
    """Do what the options ask for; return the exit code."""
    tables, figures = papers.select(options.names)
    profile = papers.profiles()[options.profile]
    runner = Runner(options.out, vgg19_weights=file(options.vgg19_weights))
    session = Session(runner, profile, range(options.repeats), tables, figures)
    runner.dataset_dirs.update(folders(options.dataset_dir, [data_of(job.run) for job in session.jobs()]))
    if options.dry_run:
        show(session)
        return 0
    session.run()
    for path in session.write():
        print(f"wrote {short_path(path)}")
    for name, message in session.failures.items():
        print(f"failed: {name}: {message}", file=sys.stderr)
    return 1 if session.failures else 0


if __name__ == "__main__":
    sys.exit(main())
