"""What a person sees while one large image is enhanced."""

from __future__ import annotations

from types import TracebackType

from tqdm import tqdm

from shared.console import Waiting, say


class PartProgress:
    """A progress bar over the parts of one image; plain lines where there is no terminal; use it as a context manager.

    Args:
        name: what the bar and the lines begin with.
        total: number of parts.
        pixels: of each part.
        unit: what a part is, in one word.
        done: parts that an earlier run finished.
    """

    def __init__(self, name: str, total: int, pixels: int, unit: str, done: int = 0) -> None:
        self.name = name
        self.total = total
        self.pixels = pixels
        self.unit = unit
        self._begun_at = self._done = done
        self._waiting = Waiting(total, unit, name, done, leave=False)

    def reach(self, part: int) -> None:
        """All parts before number ``part`` are done."""
        self._waiting.advance(part - self._done)
        self._done = part
        if self._waiting.is_due():
            left = (self.total - part) / max(part - self._begun_at, 1) * self.seconds
            remaining = tqdm.format_interval(left)
            say(f"{self.name}: {part}/{self.total} {self.unit}s, {self.speed}, {remaining} left")

    def __enter__(self) -> PartProgress:
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
        pixels = (self._done - self._begun_at) * self.pixels
        return f"{pixels / 1e6 / max(self.seconds, 1e-9):.3g} megapixels/s"
