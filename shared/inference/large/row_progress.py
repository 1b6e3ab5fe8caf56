"""What a person sees while one large image is enhanced."""

from __future__ import annotations

from types import TracebackType

from tqdm import tqdm

from shared.console import Waiting, say


class RowProgress:
    """A progress bar over the rows of one image; plain lines where there is no terminal; use it as a context manager.

    Args:
        name: what the bar and the lines begin with.
        height, width: of the image, in pixels.
        done: rows that an earlier run finished.
    """

    def __init__(self, name: str, height: int, width: int, done: int = 0) -> None:
        self.name = name
        self.height = height
        self.width = width
        self._begun_at = self._done = done
        self._waiting = Waiting(height, "row", name, done, leave=False)

    def reach(self, row: int) -> None:
        """All rows before ``row`` are done."""
        self._waiting.advance(row - self._done)
        self._done = row
        if self._waiting.is_due():
            left = (self.height - row) / max(row - self._begun_at, 1) * self.seconds
            say(f"{self.name}: {row}/{self.height} rows, {self.speed}, {tqdm.format_interval(left)} left")

    def __enter__(self) -> RowProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.close()

    @property
    def seconds(self) -> float:
        """Time since the start of this run."""
        return self._waiting.seconds

    @property
    def speed(self) -> str:
        """Megapixels of the source per second, in this run alone."""
        pixels = (self._done - self._begun_at) * self.width
        return f"{pixels / 1e6 / max(self.seconds, 1e-9):.3g} megapixels/s"
