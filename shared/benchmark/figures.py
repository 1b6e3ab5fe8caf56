"""Figures with their bounds, and the rows of the tables that show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Bound:
    """A claim about a figure: ``sense`` is "at most", "at least", or "below"."""

    sense: str
    limit: float

    def holds(self, found: float) -> bool:
        """Whether the figure keeps the bound; NaN does not."""
        if self.sense == "at least":
            return found >= self.limit
        return found < self.limit if self.sense == "below" else found <= self.limit

    def __str__(self) -> str:
        return f"{self.sense} {self.limit:.2f}"


BOUNDS: dict[str, Bound] = {
    "gradprom_over_joint": Bound("at most", 1.5),
    "gradprom_over_torchjd": Bound("below", 1.0),
    "three_passes_over_gradprom": Bound("at least", 1.3),
    "joint_over_loop": Bound("at most", 1.05),
    "frozen_over_loop": Bound("at most", 1.05),
    "adversarial_over_loop": Bound("at most", 1.1),
    "trainer_overhead": Bound("below", 0.1),
    "waiting_share": Bound("below", 0.1),
    "memory_over_joint": Bound("at most", 1.35),
    "volume_throughput": Bound("at least", 0.9),
    "volume_memory": Bound("at most", 1.05),
}
"""Bounds by figure; what has none is shown for comparison."""


@dataclass(frozen=True)
class Figure:
    """One figure of the benchmark.

    Attributes:
        name: key in :data:`BOUNDS` and in the JSON file.
        title: how the table calls it.
        found: ratio of medians.
        low: smallest value that a single round gave.
        high: largest one.
    """

    name: str
    title: str
    found: float
    low: float
    high: float


def ratio(name: str, title: str, above: Sequence[float], below: Sequence[float], minus: float = 0.0) -> Figure:
    """Return median(above) / median(below) - minus, with the spread of the same ratio round by round."""
    each = [a / b - minus for a, b in zip(above, below, strict=True)]
    return Figure(name, title, median(above) / median(below) - minus, min(each), max(each))


def missed(figures: Iterable[Figure], bounds: Mapping[str, Bound] | None = None) -> list[str]:
    """Return one line per bound that is not kept or whose figure is missing."""
    found = {figure.name: figure for figure in figures}
    lines = []
    for name, bound in (BOUNDS if bounds is None else bounds).items():
        if name not in found:
            lines.append(f"{name}: not measured, expected {bound}")
        elif not bound.holds(found[name].found):
            lines.append(f"{found[name].title}: found {found[name].found:.3f}, expected {bound}")
    return lines


def figure_rows(figures: Iterable[Figure], bounds: Mapping[str, Bound] | None = None) -> list[list[str]]:
    """Return a header and one row per figure."""
    rows = [["measure", "found", "min-max per round", "bound", "kept"]]
    for figure in figures:
        bound = (BOUNDS if bounds is None else bounds).get(figure.name)
        kept = "" if bound is None else "yes" if bound.holds(figure.found) else "NO"
        spread = f"{figure.low:.2f}-{figure.high:.2f}"
        rows.append([figure.title, f"{figure.found:.3f}", spread, "" if bound is None else str(bound), kept])
    return rows


def figure_to_json(figure: Figure, bounds: Mapping[str, Bound] | None = None) -> dict[str, Any]:
    """Return a figure, its bound and whether it is kept, as JSON types."""
    bound = (BOUNDS if bounds is None else bounds).get(figure.name)
    kept = None if bound is None else bound.holds(figure.found)
    return {**asdict(figure), "bound": None if bound is None else str(bound), "kept": kept}


def time_rows(title: str, seconds: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Return a header and one row per variant, in milliseconds."""
    rows = [[title, "median ms", "min-max ms"]]
    for name, values in seconds.items():
        rows.append([name, f"{1e3 * median(values):.0f}", f"{1e3 * min(values):.0f}-{1e3 * max(values):.0f}"])
    return rows
