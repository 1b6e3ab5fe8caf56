"""Reproduce the GradProm paper's tables and figures: python scripts/reproduce.py table1 (once `shared` is installed).

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
from shared.reproduction.papers.gradprom import FIGURES
from shared.reproduction.papers.gradprom.experiments import tables
from shared.reproduction.plan import Estimate, describe, duration
from shared.reproduction.profiles import PROFILES
from shared.reproduction.runs import Runner, data_of
from shared.reproduction.session import Session, select


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="Reproduce tables and figures of the GradProm paper.")
    names = "table1 … table8, figure2 …, gate, mni152, or all (all but mni152, which is not the paper's)"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--list", action="store_true", help="say what there is, and end")
    parser.add_argument("--dry-run", action="store_true", help="print every run with an estimate of its time, and end")
    parser.add_argument(
        "--dataset_dir", action="append", default=[], metavar="[NAME=]FOLDER",
        help="folder of a data set (once for each; NAME= may be left out where all runs read one data set); else "
        "$MONAI_DATA_DIRECTORY/NAME, else phantom data",
    )
    parser.add_argument("--repeats", type=int, metavar="N", help="seeds 0 … N-1 (default: 3; 1 for profile smoke)")
    parser.add_argument("--out", default="results", metavar="FOLDER", help="where everything goes (default: results)")
    profiles = "; ".join(f"{name}: {profile.meaning}" for name, profile in PROFILES.items())
    parser.add_argument("--profile", choices=list(PROFILES), default="full", help=f"default: full. {profiles}")
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


def show(session: Session) -> None:
    """Print every run with its command, and the time that those to come may take."""
    jobs = session.jobs()
    estimate, total = Estimate(session.runner, jobs), 0.0
    for job in jobs:
        done = session.runner.record(job.run, job.seed) is not None
        seconds = None if done else estimate.seconds(job.run)
        total += seconds or 0.0
        print(describe(job, session.runner, seconds), flush=True)
    print(f"{len(jobs)} runs; those to come take about {duration(total)} on this machine, and stage (a) comes on top")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write and report; return the exit code."""
    options = parse(arguments)
    if options.list:
        lines = {name: table.title for name, table in tables().items()}
        lines |= {name: figure.title for name, figure in FIGURES.items()}
        print("\n".join(f"{name:9} {title}" for name, title in lines.items()))
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
    chosen, figures = select(options.names)
    session = Session(Runner(options.out), PROFILES[options.profile], range(options.repeats), chosen, figures)
    session.runner.dataset_dirs.update(folders(options.dataset_dir, [data_of(job.run) for job in session.jobs()]))
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
