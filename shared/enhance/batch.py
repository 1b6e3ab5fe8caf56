"""The run over many files: each on its own, so that a bad one does not stop the rest."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.enhance.enhancer import Enhancer, Size, choose_device
from shared.enhance.jobs import Job, Target, find_jobs
from shared.enhance.report import FAILED, Report, Row, read_report, sole_writer
from shared.errors import InputError, message_of
from shared.files import make_folder, short_path
from shared.images.format_table import images_in
from shared.images.picture import SourceRecord
from shared.inference.findings import Findings, depth_in, depth_of
from shared.inference.progress import ImageProgress

_SHOWN_FAILURES = 10


@dataclass(frozen=True)
class Loaded:
    """An image that was read, or why it could not be, and the seconds that it took; a large one is not read."""

    seconds: float
    data: Mapping[str, Any] | None = None
    record: SourceRecord | None = None
    error: Exception | None = None


class Batch:
    """One run of the command: whatever can be wrong with its options comes up before any work.

    Args:
        bundle: folder of the bundle.
        options: of the command line.

    Attributes:
        jobs: what is to be done.
        finished: rows of results that an earlier run made and that are still right.
        failed: rows of files without a result: those that cannot even be opened, then those that :meth:`run` met.
        left_out: what is not taken of the folders.

    Raises:
        InputError: it is no bundle, the weights are missing or do not fit, the device is not there, no image is
            found, results would collide, or the report is some other file.
    """

    def __init__(self, bundle: Path, options: argparse.Namespace) -> None:
        self.output = Path(options.output).expanduser()
        self.report_path = Path(options.report).expanduser() if options.report else self.output / "report.csv"
        self.progress = ImageProgress()
        self._workers: int = options.num_workers
        self._enhancer = Enhancer(bundle, self.output, _overrides(options))
        if Path(options.bundle).suffix == ".zip" and not self._enhancer.weights.is_file():
            raise InputError(f"--bundle: {options.bundle} holds no weights; name a file of them by --ckpt")
        self._enhancer.load_weights()
        self.on_phantoms = self._enhancer.on_phantoms
        found = find_jobs(
            [Path(name).expanduser() for name in options.input],
            Target(
                self.output,
                self.report_path,
                options.format,
                self._enhancer.large_image_pixels,
                self._enhancer.plane,
                self._enhancer.fingerprint(),
                self._enhancer.upscale_factor,
            ),
        )
        self.failed, self.left_out = found.failed, found.left_out
        earlier = read_report(self.report_path)
        kept = {job.row.output for job in found.jobs if not options.overwrite and _is_up_to_date(job, earlier)}
        # Where the output folder lies, seen from the report, may have changed.
        self.finished = [
            replace(earlier[job.row.output].skipped(), folder=job.row.folder)
            for job in found.jobs
            if job.row.output in kept
        ]
        self.jobs = [job for job in found.jobs if job.row.output not in kept]
        self._findings = Findings(self._enhancer.producer.modality)

    def closing_lines(self) -> list[str]:
        """What there is to say about the results as a whole, and what was left out."""
        lines = self._findings.lines(short_path(self.report_path))
        return [*lines, str(self.left_out)] if self.left_out else lines

    def run(self) -> bool:
        """Enhance what is to do, with a row in the report for each image as soon as it is done.

        Returns:
            Whether all of it was done; False when a person or the system stopped it.

        Raises:
            InputError: the output folder or the report cannot be written to, or another run is writing the report.
        """
        _require_writable(self.output)
        with sole_writer(self.report_path):
            return self._run()

    def _run(self) -> bool:
        report = Report(self.report_path)
        report.start([*self.failed, *self.finished])
        for row in self.finished:
            self._findings.add(Path(row.file), _depth_of_finished(row), [row.message])
        self.progress.start(len(self.jobs))
        try:
            for number, row in enumerate(self.failed):
                self._show(row, number)
            for job, loaded in load_ahead(self._load, self.jobs, self._workers):
                row = self._finish(job, loaded)
                report.add(row)
                self.progress.advance(job.item["output"], written=row.status != FAILED)
                if row.status == FAILED:
                    self._show(row, len(self.failed))
                    self.failed.append(row)
        except KeyboardInterrupt:
            return False
        finally:
            self.progress.stop()
        return True

    def _load(self, job: Job) -> Loaded:
        began = time.perf_counter()
        if job.item["large"]:
            return Loaded(0.0)
        try:
            data, record = self._enhancer.load(job.item)
        # Whatever is wrong with one file, out of memory included, the others get their turn.
        except Exception as err:
            return Loaded(time.perf_counter() - began, error=err)
        return Loaded(time.perf_counter() - began, data, record)

    def _finish(self, job: Job, loaded: Loaded) -> Row:
        began = time.perf_counter()
        row, error = job.row, loaded.error
        bits: int | None = None
        notes: list[str] = []
        try:
            if job.item["large"]:
                size, result = self._enhancer.enhance_large(job.item)
                row = replace(_of_size(row, size), scaling=result.scaling)
                bits, notes = result.bits, [*result.notes]
            elif loaded.data is not None and loaded.record is not None:
                record = loaded.record
                row = replace(_of_size(row, Size.of(record, len(loaded.data["image"]))), scaling=record.scaling)
                bits, notes = depth_of(record), [*record.notes, *self._modality(row, record)]
                self._enhancer.enhance(loaded.data)
                notes += self._enhancer.notes
        except Exception as err:
            error = err
        row = replace(row, seconds=loaded.seconds + time.perf_counter() - began)
        if error is not None:
            return replace(row, output="", status=FAILED, message=message_of(error), folder="")
        self._findings.add(Path(row.file), bits, notes)
        message = "; ".join(part for part in (row.message, *notes) if part)
        return replace(row, message=message, files=_count_files(Path(job.item["output"])))

    def _modality(self, row: Row, record: SourceRecord) -> list[str]:
        """What there is to say about an image's modality, shown when it comes up first."""
        warning, is_first = self._findings.modality(record.modality)
        if is_first:
            self.progress.say(f"warning: {row.file}: {warning}; --force silences this")
        return [] if warning is None else [warning]

    def _show(self, row: Row, number: int) -> None:
        if number < _SHOWN_FAILURES:
            self.progress.say(f"failed: {row.message}")
        elif number == _SHOWN_FAILURES:
            self.progress.say(f"further failures: see {self.report_path}")


def load_ahead(load: Callable[[Job], Loaded], jobs: list[Job], workers: int) -> Iterator[tuple[Job, Loaded]]:
    """Yield each job with its loaded image, in order, while threads load the next ones.

    Args:
        load: gives the loaded image of a job and raises nothing.
        jobs: what to load.
        workers: number of threads, and of images that they are ahead; 0 to load each image when it is asked for.
    """
    if workers == 0:
        for job in jobs:
            yield job, load(job)
        return
    pool = ThreadPoolExecutor(workers)
    waiting: deque[tuple[Job, Future[Loaded]]] = deque()
    try:
        for job in jobs:
            waiting.append((job, pool.submit(load, job)))
            if len(waiting) > workers:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    """Values for the bundle's configuration."""
    weights = None if options.ckpt is None else str(Path(options.ckpt).expanduser().absolute())
    chosen = {
        "device": choose_device(options.device),
        "ckpt_path": weights,
        "plane": options.plane,
        "bits": options.bits,
        "any_modality": True if options.force else None,
    }
    return {"output_format": options.format, **{key: value for key, value in chosen.items() if value is not None}}


def _of_size(row: Row, size: Size) -> Row:
    return replace(row, width=size.width, height=size.height, slices=size.slices, channels=size.channels)


def _depth_of_finished(row: Row) -> int | None:
    """Depth by which a result was scaled; 8 bits may be all that its file has, of which the report does not tell."""
    bits = depth_in(row.scaling)
    return bits if bits is not None and bits > 8 else None


def _is_up_to_date(job: Job, earlier: Mapping[str, Row]) -> bool:
    row = earlier.get(job.row.output)
    if row is None or row.files is None or not row.fits(job.row):
        return False
    # Fewer: a slice was deleted. More: a person's own image lies there too, as a screenshot may.
    return _count_files(Path(job.item["output"])) >= row.files


def _count_files(result: Path) -> int:
    """Number of image files of a result, a file or a folder; 0 where there is none that can be looked at."""
    try:
        return len(images_in(result)) if result.is_dir() else int(result.is_file())
    except OSError:
        return 0


def _require_writable(folder: Path) -> None:
    make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as err:
        raise InputError(f"--output: {folder} cannot be written to: {err.strerror or err}") from err
