"""One line per epoch: on the console, and in a CSV file that survives a resume."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from shared.distributed import rank
from shared.files import make_folder, write_atomically
from shared.handlers.published import Value, is_time_to_read, last_loss, publishers, read

logger = logging.getLogger(__name__)
FORMS = {"loss": "loss {value:.4g}", "val_psnr": "PSNR {value:.2f} dB", "val_ssim": "SSIM {value:.3f}"}
"""How columns are printed; those that only the file holds are missing."""


class EpochLog:
    """Log an epoch's mean loss, what handlers publish of it, and validation metrics, and keep them in a CSV file.

    List it after the handlers that publish these (:mod:`shared.handlers.published`). Losses are read together, every
    :data:`~shared.handlers.published.READ_EVERY` steps and at the end of an epoch. The file holds nothing that differs
    between two equal runs (no times), so it is also what tests compare.

    Args:
        path: the CSV file, replaced whole after every epoch.
        title: what the line begins with, for example "cascade".
        evaluator: validation engine, whose metrics are logged as ``val_<name>``.
    """

    def __init__(self, path: str, title: str, evaluator: Engine | None = None) -> None:
        self.path = Path(path)
        self.title = title
        self.evaluator = evaluator
        self.rows: list[dict[str, float]] = []
        self._losses: list[float] = []
        self._unread: list[Value] = []
        self._began = 0.0

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Close the epoch."""
        self._read()
        row = {"epoch": float(engine.state.epoch), "loss": math.fsum(self._losses) / max(1, len(self._losses))}
        forms = dict(FORMS)
        for publisher in publishers(engine):
            forms |= publisher.forms(engine)
            for group, values in publisher.epoch(engine).items():
                numbers = read(list(values.values()))
                row |= {f"{group}_{name}": number for name, number in zip(values, numbers, strict=True)}
        state: Any = None if self.evaluator is None else self.evaluator.state
        if state is not None and state.epoch == engine.state.epoch:
            row |= {f"val_{name}": float(value) for name, value in state.metrics.items()}
        self.rows.append(row)
        if rank() == 0:
            logger.info(self._line(engine, row, forms))
            self._write()

    def state_dict(self) -> dict[str, Any]:
        """Return all rows."""
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the rows and write the file anew, without what a killed run logged after its last checkpoint."""
        self.rows = [dict(row) for row in state["rows"]]
        if rank() == 0:
            self._write()

    def _begin(self, engine: Engine) -> None:
        self._losses, self._unread = [], []
        self._began = time.perf_counter()

    def _collect(self, engine: Engine) -> None:
        self._unread.append(last_loss(engine))
        if is_time_to_read(engine):
            self._read()

    def _read(self) -> None:
        self._losses += read(self._unread)
        self._unread = []

    def _line(self, engine: Engine, row: Mapping[str, float], forms: Mapping[str, str]) -> str:
        parts = [f"{self.title} epoch {engine.state.epoch}/{engine.state.max_epochs}"]
        for name, value in row.items():
            if name in forms and math.isfinite(value):
                parts.append(forms[name].format(value=value))
        parts.append(f"{time.perf_counter() - self._began:.1f} s")
        return "  ".join(parts)

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "epoch": int(row["epoch"])} for row in self.rows)
        make_folder(self.path.parent)
        write_atomically(self.path, text.getvalue().encode())
