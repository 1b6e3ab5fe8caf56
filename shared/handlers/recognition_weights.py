"""Weights of recognition networks that were trained without an enhancement network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from shared.bundle import provenance
from shared.distributed import barrier, rank
from shared.errors import InputError
from shared.handlers.best_model import MODEL, RECOGNITION
from shared.handlers.finite import NonFiniteError
from shared.networks import weights


class SaveRecognition:
    """Write ``recognition.pt`` and ``provenance.json`` when the recognition networks' training is complete.

    For GradProm's benchmarks ii and iii, where nothing is enhanced: there is no ``model.pt``, and none may lie in the
    folder, whose provenance would then tell of the wrong training.

    Args:
        folder: where the files go.
        recognition: the recognition networks, a :class:`~shared.recognition.ensemble.RecognitionEnsemble`.
        origin: content of ``provenance.json``.

    Raises:
        InputError: at construction, when the folder holds ``model.pt``, or weights trained on real data while this
            run's are phantom data.
    """

    def __init__(self, folder: str, recognition: nn.Module, origin: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        if (self.folder / MODEL).exists():
            raise InputError(
                f"{self.folder / MODEL}: found an enhancement network, which weights of recognition alone must not be "
                "mixed with; give another folder by --ckpt_dir"
            )
        provenance.protect(folder, bool(origin["phantom"]), RECOGNITION)
        self.recognition = recognition
        self.origin = origin

    def attach(self, engine: Engine) -> None:
        """Register on the trainer of the recognition networks."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save, on rank 0; the others wait until the files are there.

        Raises:
            NonFiniteError: when a weight is not finite.
        """
        ensemble: Any = weights.unwrapped(self.recognition)
        bad = weights.first_not_finite(ensemble.networks.state_dict())
        if bad is not None:
            raise NonFiniteError(f"{bad}: found a weight that is not finite, {RECOGNITION} was not written")
        if rank() == 0:
            weights.save_all(ensemble.networks, self.folder / RECOGNITION)
            provenance.write_json(self.origin, self.folder / provenance.FILE_NAME)
        # The test that follows reads the file on every rank.
        barrier()


class LoadRecognition:
    """Load what :class:`SaveRecognition` wrote, when the engine it is attached to starts.

    Args:
        folder: where ``recognition.pt`` lies.
        recognition: the recognition networks, a :class:`~shared.recognition.ensemble.RecognitionEnsemble`.
        remedy: what to do when the file is missing, for the message.

    Raises:
        InputError: when the file is missing or does not fit.
    """

    def __init__(
        self, folder: str, recognition: nn.Module, remedy: str = "run training with the same overlays first"
    ) -> None:
        self.folder = Path(folder)
        self.recognition = recognition
        self.remedy = remedy

    def attach(self, engine: Engine) -> None:
        """Register on an engine."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights of all recognition networks."""
        ensemble: Any = weights.unwrapped(self.recognition)
        weights.load_all(ensemble.networks, self.folder / RECOGNITION, self.remedy)
