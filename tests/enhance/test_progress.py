"""What the terminal shows beside the bar, and images that are loaded ahead."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from typing import Any

import pytest

from shared.enhance.batch import Loaded, load_ahead
from shared.enhance.jobs import Job
from shared.enhance.report import OK, Row
from shared.inference.progress import ImageProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_counts_failures_and_the_summary_does_not() -> None:
    stream = Terminal()
    progress = ImageProgress(stream)
    progress.start(3)
    progress.advance("clean/a.png")
    progress.say("failed: b.png: damaged")
    progress.advance("clean/b.png", written=False)
    progress.advance("clean/c.nii.gz")
    progress.stop()
    progress.stop()
    assert "failed: b.png: damaged\n" in stream.getvalue()
    assert "3/3" in stream.getvalue()
    assert progress.summary().startswith("Enhanced 2 images (1 NIfTI, 1 PNG) in ")


def test_nothing_to_do() -> None:
    progress = ImageProgress(io.StringIO())
    progress.start(0)
    progress.stop()
    assert progress.summary() == "Enhanced 0 images in 0.0 s"


JOBS = [Job({"number": number}, replace(Row("", "", OK), file=str(number))) for number in range(20)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order_and_distance(workers: int) -> None:
    """Images come in order, and no more of them are in memory than was asked for."""
    lock = threading.Lock()
    loaded = 0
    furthest = 0

    def load(job: Job) -> Loaded:
        nonlocal loaded, furthest
        with lock:
            loaded += 1
            furthest = max(furthest, loaded - len(found))
        return Loaded(0.0, data=job.item)

    found: list[Job] = []
    for job, data in load_ahead(load, JOBS, workers):
        assert data.data is job.item
        found.append(job)
    assert found == JOBS
    assert furthest <= workers + 1


def test_threads_end_with_the_loop() -> None:
    def load(job: Job) -> Any:
        return Loaded(0.0)

    before = threading.active_count()
    jobs = load_ahead(load, JOBS, 2)
    next(jobs)
    jobs.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
