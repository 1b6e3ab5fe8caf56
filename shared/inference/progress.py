"""What a person sees while images are enhanced."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from shared.console import Waiting, say
from shared.images.attribution import Producer
from shared.images.decoder_output import own_lines
from shared.images.formats import format_of
from shared.images.picture import SourceRecord
from shared.inference.findings import Findings, depth_of
from shared.inference.transforms import NOTES_SUFFIX, RECORD_SUFFIX


class ImageProgress:
    """A progress bar over images; plain lines where there is no terminal.

    Args:
        stream: where to write; None for standard error, where MONAI's log goes.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream
        self._waiting: Waiting | None = None
        self._total = self._done = 0
        self._written: Counter[str] = Counter()
        self._started = 0.0

    def start(self, total: int) -> None:
        """Begin with ``total`` images before us."""
        self._total, self._done = total, 0
        self._written.clear()
        self._started = time.monotonic()
        self._waiting = Waiting(total, "image", stream=self.stream)

    def advance(self, path: str, written: bool = True) -> None:
        """Count one image.

        Args:
            path: of its result.
            written: whether there is a result.
        """
        self._done += 1
        if written:
            image_format = format_of(path)
            self._written[image_format.name if image_format is not None else "other"] += 1
        if self._waiting is None:
            return
        with own_lines():
            self._waiting.advance(detail=Path(path).name)
        if self._waiting.is_due(anyway=self._done in (1, self._total)):
            self.say(f"{self._done}/{self._total} {path}")

    def say(self, line: str) -> None:
        """Show a line without disturbing the bar."""
        with own_lines():
            say(line, self.stream)

    def stop(self) -> None:
        """Leave the bar as it is; more than once does no harm."""
        if self._waiting is not None:
            self._waiting.close()

    @property
    def written(self) -> int:
        """Number of results so far."""
        return sum(self._written.values())

    def summary(self) -> str:
        """How many results there are and how long they took: ``Enhanced 3 images (1 NIfTI, 2 PNG) in 4.2 s``."""
        kinds = ", ".join(f"{number} {name}" for name, number in sorted(self._written.items()))
        images = "image" if self.written == 1 else "images"
        seconds = time.monotonic() - self._started
        return f"Enhanced {self.written} {images}{f' ({kinds})' if kinds else ''} in {seconds:.1f} s"


class InferenceProgress:
    """An :class:`ImageProgress` over the images of an evaluator, warnings about their modality, and closing lines.

    Args:
        output_dir: folder that the closing line names.
        output_key: key of the paths of the results in ``engine.state.batch``.
        stream: where to write; None for standard error, where MONAI's log goes.
        producer: what enhances the images; it tells the modality that they should have.
    """

    def __init__(
        self,
        output_dir: str,
        output_key: str = "output",
        stream: TextIO | None = None,
        producer: Producer | None = None,
    ) -> None:
        self.output_dir = output_dir
        self.output_key = output_key
        self.progress = ImageProgress(stream)
        self.producer = producer or Producer()
        self._findings = Findings(self.producer.modality)

    def attach(self, engine: Engine) -> None:
        """Follow ``engine``, an evaluator whose batches come from ``find_images``."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._abandon)

    def _start(self, engine: Engine) -> None:
        self._findings = Findings(self.producer.modality)
        self.progress.start(engine.state.epoch_length or 0)

    def _advance(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        # MONAI puts what postprocessing adds to the output, and not to the batch.
        outputs: Any = engine.state.output if isinstance(engine.state.output, list) else [{}] * len(batch)
        for item, output in zip(batch, outputs, strict=True):
            self.progress.advance(item[self.output_key])
            if f"{CommonKeys.IMAGE}{RECORD_SUFFIX}" in item:
                record = SourceRecord.from_json(item[f"{CommonKeys.IMAGE}{RECORD_SUFFIX}"])
                self._look_at(record, output.get(f"{CommonKeys.PRED}{NOTES_SUFFIX}", ()))

    def _look_at(self, record: SourceRecord, notes: Sequence[str]) -> None:
        warning, is_first = self._findings.modality(record.modality)
        if is_first:
            self.progress.say(f"warning: {record.source}: {warning}; --any_modality true silences this")
        self._findings.add(Path(record.source), depth_of(record), notes)

    def _close(self, engine: Engine) -> None:
        self.progress.stop()
        self.progress.say(f"{self.progress.summary()}, written to {self.output_dir}")
        for line in self._findings.lines():
            self.progress.say(line)

    def _abandon(self, engine: Engine, error: BaseException) -> None:
        self.progress.stop()
        if self.progress.written:
            self.progress.say(f"Stopped after {self.progress.written} images, which stay in {self.output_dir}")
        # A handler of this event takes the exception over: without this line it would be lost.
        raise error
