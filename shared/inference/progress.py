"""What a person sees while images are enhanced."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

from ignite.engine import Engine, Events
from tqdm import tqdm

from shared.inference.formats import format_of

_SECONDS_BETWEEN_LINES = 10.0


class InferenceProgress:
    """A progress bar over the images, plain lines where there is no terminal, and one closing line.

    Args:
        output_dir: folder that the closing line names.
        output_key: key of the paths of the results in ``engine.state.batch``.
        stream: where to write; None for standard error, where MONAI's log goes.
    """

    def __init__(self, output_dir: str, output_key: str = "output", stream: TextIO | None = None) -> None:
        self.output_dir = output_dir
        self.output_key = output_key
        self.stream = stream
        self._bar: tqdm | None = None
        self._written: Counter[str] = Counter()
        self._started = self._last_line = 0.0

    def attach(self, engine: Engine) -> None:
        """Follow ``engine``, an evaluator whose batches come from ``find_images``."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._abandon)

    def _start(self, engine: Engine) -> None:
        self._written.clear()
        self._started = self._last_line = time.monotonic()
        stream = self._stream()
        self._bar = tqdm(
            total=engine.state.epoch_length, unit="image", file=stream, disable=not stream.isatty()
        )

    def _advance(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        paths = [item[self.output_key] for item in batch]
        for path in paths:
            image_format = format_of(path)
            self._written[image_format.name if image_format is not None else "other"] += 1
        done, total = sum(self._written.values()), engine.state.epoch_length
        if self._bar is not None and not self._bar.disable:
            self._bar.set_postfix_str(Path(paths[-1]).name, refresh=False)
            self._bar.update(len(paths))
        elif done in (1, total) or time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            print(f"{done}/{total} {paths[-1]}", file=self._stream(), flush=True)

    def _close(self, engine: Engine) -> None:
        self._stop_bar()
        count = sum(self._written.values())
        kinds = ", ".join(f"{number} {name}" for name, number in sorted(self._written.items()))
        seconds = time.monotonic() - self._started
        images = "image" if count == 1 else "images"
        line = f"Enhanced {count} {images} ({kinds}) in {seconds:.1f} s, written to {self.output_dir}"
        print(line, file=self._stream(), flush=True)

    def _abandon(self, engine: Engine, error: BaseException) -> None:
        self._stop_bar()
        count = sum(self._written.values())
        if count:
            print(
                f"Stopped after {count} images, which stay in {self.output_dir}",
                file=self._stream(),
                flush=True,
            )
        # A handler of this event takes the exception over: without this line it would be lost.
        raise error

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _stream(self) -> Any:
        # Looked up late: whoever redirects standard error after construction is heard.
        return self.stream if self.stream is not None else sys.stderr
