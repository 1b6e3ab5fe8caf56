"""Running statistics of the gate, per recognition task and epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

VALUES = ("cosine", "accepted", "norm_ratio", "loss")


class GateStatistics:
    """Means per epoch, and totals of the run, of what a gate decided.

    Args:
        names: the recognition tasks.

    Attributes:
        totals: per task the number of steps, accepted steps and skipped (non-finite) steps since training began.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.totals: dict[str, dict[str, int]] = {n: {"steps": 0, "accepted": 0, "skipped": 0} for n in names}
        self._epoch: dict[str, list[dict[str, float]]] = {n: [] for n in names}

    def add(self, name: str, step: Mapping[str, Any], skipped: bool) -> None:
        """Count one step of one task."""
        totals = self.totals[name]
        totals["steps"] += 1
        totals["accepted"] += bool(step["accepted"])
        totals["skipped"] += skipped
        self._epoch[name].append({**{k: float(step[k]) for k in VALUES}, "skipped": float(skipped)})

    def close_epoch(self) -> dict[str, dict[str, float]]:
        """Return per task the epoch's means and begin a new epoch; empty for a task that took no step.

        Keys: ``acceptance`` (rate in [0, 1]), ``cosine``, ``norm_ratio``, ``loss`` (means over the finite values,
        NaN when there is none), ``skipped`` (count).
        """
        result: dict[str, dict[str, float]] = {}
        for name, steps in self._epoch.items():
            if steps:
                means = {k: _mean([s[k] for s in steps]) for k in VALUES}
                means["acceptance"] = means.pop("accepted")
                result[name] = {**means, "skipped": sum(s["skipped"] for s in steps)}
            self._epoch[name] = []
        return result

    def state_dict(self) -> dict[str, Any]:
        """Return the totals; an epoch under way is not part of a state."""
        return {"totals": {name: dict(totals) for name, totals in self.totals.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.totals = {name: dict(totals) for name, totals in state["totals"].items()}


def _mean(values: Sequence[float]) -> float:
    finite = [v for v in values if math.isfinite(v)]
    return math.fsum(finite) / len(finite) if finite else math.nan
