"""Running statistics of what a handler measures at every step, per group and epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shared.handlers.published import Value, detached, read


class StepStatistics:
    """Means per epoch, and counts of the run, of what is measured at every step.

    Values wait on their device for :meth:`read`, which the end of an epoch calls, too.

    Args:
        names: the groups (recognition tasks, for example).
        quantities: what is measured per group and step.
        rates: decisions, which are counted, each with the name of its mean: ``{"accepted": "acceptance"}``.
    """

    def __init__(self, names: Sequence[str], quantities: Sequence[str], rates: Mapping[str, str] | None = None) -> None:
        self.quantities = list(quantities)
        self.rates = dict(rates or {})
        self._counted = ["steps", *self.rates, "skipped"]
        self._totals: dict[str, dict[str, int]] = {name: dict.fromkeys(self._counted, 0) for name in names}
        self._epoch: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        self._unread: list[tuple[str, list[Value]]] = []

    @property
    def totals(self) -> dict[str, dict[str, int]]:
        """Per group the number of steps, of each decision and of skipped (non-finite) steps since training began."""
        self.read()
        return self._totals

    def add(self, name: str, step: Mapping[str, Value], skipped: Value, happened: Value = True) -> None:
        """Count one step of one group, unless it did not happen; nothing is read."""
        row = [*(step[key] for key in (*self.quantities, *self.rates)), skipped, happened]
        self._unread.append((name, [detached(value) for value in row]))

    def close_epoch(self) -> dict[str, dict[str, float]]:
        """Return per group the epoch's means and begin a new epoch; empty for a group that took no step.

        Keys: the quantities and rates (means over the finite values, NaN when there is none), ``skipped`` (count).
        """
        self.read()
        result: dict[str, dict[str, float]] = {}
        for name, steps in self._epoch.items():
            if steps:
                means = {key: _mean([s[key] for s in steps]) for key in self.quantities}
                rates = {mean: _mean([s[key] for s in steps]) for key, mean in self.rates.items()}
                result[name] = {**means, **rates, "skipped": sum(s["skipped"] for s in steps)}
            self._epoch[name] = []
        return result

    def state_dict(self) -> dict[str, Any]:
        """Return the totals; an epoch under way is not part of a state."""
        return {"totals": {name: dict(totals) for name, totals in self.totals.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises:
            KeyError: when the state knows other groups or decisions.
        """
        self.read()
        totals = state["totals"]
        self._totals = {name: {key: totals[name][key] for key in self._counted} for name in self._totals}

    def read(self) -> None:
        """Fetch what was added since the last time."""
        unread, self._unread = self._unread, []
        numbers = iter(read([value for _, row in unread for value in row]))
        keys = [*self.quantities, *self.rates, "skipped", "happened"]
        for name, _ in unread:
            step = {key: next(numbers) for key in keys}
            if not step.pop("happened"):
                continue
            self._totals[name]["steps"] += 1
            for key in (*self.rates, "skipped"):
                self._totals[name][key] += bool(step[key])
            self._epoch[name].append(step)


def _mean(values: Sequence[float]) -> float:
    finite = [v for v in values if math.isfinite(v)]
    return math.fsum(finite) / len(finite) if finite else math.nan
