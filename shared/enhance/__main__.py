"""Enhance images with a bundle, without knowing MONAI: ``python -m shared.enhance --help``."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shared import bundle_names
from shared.bundle.opening import open_bundle
from shared.errors import InputError, message_of
from shared.files import short_path

if TYPE_CHECKING:
    from shared.enhance.batch import Batch

_EPILOG = """\
A second run over the same folders does only what is new, changed, deleted or failed before; so a stopped run goes on
when the command is given again. Two runs at the same time need reports of their own. Results keep the names and
sub-folders of their sources, and replace results of the same name: give each input an output folder of its own.

The report has a row for each image: file (relative to the input), output (relative to the output folder), status
(ok, failed, skipped: made by an earlier run), seconds, width, height, slices and channels of the source, files of the
result, scaling (the stored values that the network saw as 0 and 1, and the rule), message, folder (the output folder,
seen from the report), and what tells whether a result is up to date: source (names, sizes and times of its files),
model (weights and settings). An apostrophe stands before what a spreadsheet would take for a formula.

Left out of a folder, and counted at the end: hidden files, files of other kinds or without an image of intensities,
results of earlier runs that a report there names. Linked folders are searched, each folder once.

Exit code: 0 all done, 1 some images failed (the report says why), 2 wrong usage and nothing done, 130 stopped.

The results are not for diagnostic use.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    names = ", ".join(bundle_names())
    parser = argparse.ArgumentParser(
        prog="python -m shared.enhance",
        description="Enhance PNG, JPEG, BMP, GIF, TIFF, NIfTI, MetaImage, NRRD and DICOM images with a trained bundle.",
        epilog=(f"Bundles here: {names}.\n\n" if names else "") + _EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bundle", required=True, metavar="NAME", help="or a bundle's folder, or a package's zip file")
    parser.add_argument(
        "--input", required=True, nargs="+", action="extend", metavar="PATH",
        help="image files and folders; folders are searched with their sub-folders",
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the results go; made if missing")
    parser.add_argument(
        "--format", choices=("same", "dicom", "nifti", "png"), default="same",
        help="of the results (default: same as the source; JPEG and GIF become PNG)",
    )
    parser.add_argument("--ckpt", metavar="FILE", help="weights to use in place of the bundle's own")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:N (default: cuda where there is one)")
    parser.add_argument(
        "--plane", choices=("axial", "coronal", "sagittal"),
        help="in which volumes but DICOM are cut (default: the bundle's)",
    )
    parser.add_argument(
        "--bits", type=int, choices=(8, 10, 12, 14, 16),
        help="depth of integer images (default: of each image the smallest that holds its values)",
    )
    parser.add_argument(
        "--force", action="store_true", help="no warning for images of another modality than the bundle's"
    )
    parser.add_argument("--overwrite", action="store_true", help="do everything again")
    parser.add_argument("--report", metavar="FILE.csv", help="default: report.csv in the output folder")
    parser.add_argument(
        "--num-workers", type=int, default=1, metavar="N",
        help="images that are read ahead meanwhile; each takes memory (default: 1)",
    )
    parser.add_argument("--dry-run", action="store_true", help="list what would be done, and do nothing")
    options = parser.parse_args(arguments)
    if options.num_workers < 0:
        parser.error(f"--num-workers: found {options.num_workers}, expected at least 0")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = parse(arguments)
    with _quiet(), _stoppable():
        try:
            return _run(options)
        except KeyboardInterrupt:
            return _fail("stopped", 130)


def _run(options: argparse.Namespace) -> int:
    with contextlib.ExitStack() as stack:
        try:
            _require_paths(options)
            bundle = stack.enter_context(open_bundle(options.bundle, "--bundle"))
            with _waiting("loading the bundle, looking at the images ..."):
                # Here, because MONAI takes seconds to import: help and wrong paths do not wait for it.
                from shared.enhance.batch import Batch

                batch = Batch(bundle, options)
        except Exception as err:
            return _fail(f"error: {message_of(err)}", 2)
        return _carry_out(batch, options.dry_run)


def _carry_out(batch: Batch, dry_run: bool) -> int:
    if batch.on_phantoms:
        print("note: the weights were trained on phantom images; what they make is no result", file=sys.stderr)
    if dry_run:
        return _list(batch)
    try:
        complete = batch.run()
    except InputError as err:
        return _fail(f"error: {err}", 1 if batch.progress.written else 2)
    print(_summary(batch, complete))
    for line in batch.closing_lines():
        print(line)
    return 130 if not complete else 1 if batch.failed else 0


def _list(batch: Batch) -> int:
    for job in batch.jobs:
        print(f"{job.row.file} -> {job.item['output']}")
    for row in batch.failed:
        print(f"cannot be read: {row.message}")
    print(f"{len(batch.jobs)} to enhance{_others(batch)}")
    if batch.left_out:
        print(batch.left_out)
    return 1 if batch.failed else 0


def _summary(batch: Batch, complete: bool) -> str:
    stopped = "" if complete else "; stopped, the same command goes on from here"
    places = f"written to {short_path(batch.output)}, report in {short_path(batch.report_path)}"
    return f"{batch.progress.summary()}{_others(batch)}, {places}{stopped}"


def _others(batch: Batch) -> str:
    failed = f", {len(batch.failed)} failed" if batch.failed else ""
    return failed + (f", {len(batch.finished)} up to date" if batch.finished else "")


def _require_paths(options: argparse.Namespace) -> None:
    """Whatever can be told without MONAI."""
    for name in options.input:
        if not Path(name).expanduser().exists():
            raise InputError(f"--input: {name} does not exist, expected an image file or a folder")
    output = Path(options.output).expanduser()
    if output.exists() and not output.is_dir():
        raise InputError(f"--output: {output} is a file, expected a folder")
    if options.ckpt is not None and not Path(options.ckpt).expanduser().is_file():
        raise InputError(f"--ckpt: {options.ckpt}: no such file, expected weights written by training")


def _fail(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code


@contextlib.contextmanager
def _waiting(line: str) -> Iterator[None]:
    """Show a line on a terminal for as long as something takes."""
    shown = sys.stderr.isatty()
    if shown:
        print(line, end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print(" " * len(line), end="\r", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back the notices of libraries: what concerns a person comes in the report and in this command's lines."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Let a request to terminate, as batch systems send it, end the run as cleanly as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
