"""Load the weights of a run's networks when an engine starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ignite.engine import Engine, Events

from shared.bundle.provenance import training_command
from shared.networks import weights
from shared.networks.weights import Networks


class LoadWeights:
    """Load what :class:`SaveWeights` wrote, when the engine it is attached to starts.

    Args:
        folder: where the files lie.
        files: by file name a network, several networks by name, or None for a file that is left alone. A file may hold
            more networks than are named.
        bundle: folder of the bundle; the message for a missing file names its training command.
        remedy: what to do when a file is missing, for the message; used where no bundle is given.

    Raises:
        InputError: when a file is missing or does not fit.
    """

    def __init__(
        self,
        folder: str,
        files: Mapping[str, Networks | None],
        bundle: str | None = None,
        remedy: str = "run training with the same overlays first",
    ) -> None:
        self.folder = Path(folder)
        self.networks = {name: networks for name, networks in files.items() if networks is not None}
        self.remedy = remedy if bundle is None else f"make the weights by: {training_command(bundle)}"

    def attach(self, engine: Engine) -> None:
        """Register on an engine."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine | None = None) -> None:
        """Load the weights of all networks."""
        for name, networks in self.networks.items():
            weights.load(networks, self.folder / name, self.remedy)
