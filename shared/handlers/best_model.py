"""Keep the weights of the best validation so far, with their provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from shared import provenance, weights
from shared.provenance import training_command
from shared.stages import RecognitionEnsemble

MODEL = "model.pt"
RECOGNITION = "recognition.pt"


class BestModel:
    """Write ``model.pt``, ``recognition.pt`` and ``provenance.json`` whenever validation improves.

    Attach it to the validation engine. ``model.pt`` is the plain state dict of the enhancement network,
    ``recognition.pt`` a dictionary of the recognition networks' state dicts by task.

    Args:
        folder: where the files go.
        network: the enhancement network.
        recognition: the recognition networks.
        origin: content of ``provenance.json``; epoch and value of the key metric are added.

    Raises:
        InputError: at construction, when weights of real data would be overwritten by weights of phantom data.
    """

    def __init__(
        self, folder: str, network: nn.Module, recognition: nn.Module, origin: Mapping[str, Any]
    ) -> None:
        provenance.protect(folder, bool(origin["phantom"]))
        self.folder = Path(folder)
        self.network = network
        self.recognition = recognition
        self.origin = origin

    def attach(self, engine: Engine) -> None:
        """Register on the validation engine."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save when this validation was the best so far."""
        state: Any = engine.state
        if state.rank > 0 or state.best_metric_epoch != state.epoch or not math.isfinite(state.best_metric):
            return
        ensemble: Any = weights.unwrapped(self.recognition)
        weights.save(weights.unwrapped(self.network).state_dict(), self.folder / MODEL)
        weights.save_all(ensemble.networks, self.folder / RECOGNITION)
        best = {"epoch": state.epoch, state.key_metric_name: round(float(state.best_metric), 4)}
        provenance.write_json({**self.origin, "best_validation": best}, self.folder / provenance.FILE_NAME)


class LoadBestModel:
    """Load what :class:`BestModel` wrote, when the engine it is attached to starts.

    Args:
        folder: where the files lie.
        network: the enhancement network.
        recognition: the recognition networks.
        bundle: folder of the bundle; the message for a missing file names its training command.

    Raises:
        InputError: when a file is missing or does not fit.
    """

    def __init__(self, folder: str, network: nn.Module, recognition: RecognitionEnsemble, bundle: str) -> None:
        self.folder = Path(folder)
        self.network = network
        self.recognition = recognition
        self.remedy = f"make the weights by: {training_command(bundle)}"

    def attach(self, engine: Engine) -> None:
        """Register on an engine."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights of all networks."""
        weights.load_into(self.network, weights.read(self.folder / MODEL, self.remedy), self.folder / MODEL)
        ensemble: Any = weights.unwrapped(self.recognition)
        weights.load_all(ensemble.networks, self.folder / RECOGNITION, self.remedy)
