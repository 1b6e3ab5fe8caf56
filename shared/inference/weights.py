"""Loading the enhancement network's weights when a run begins, with errors that say what to do."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn

from shared.bundle.provenance import training_command
from shared.files import short_path
from shared.networks import weights


class WeightsLoader:
    """Load a plain state dict strictly into the enhancement network when the evaluator starts.

    It does so as a handler, like MONAI's ``CheckpointLoader``, so that the workflow can be built, checked and exported
    without weights.

    Args:
        network: the network that the evaluator runs.
        ckpt_path: file written by training, usually ``<bundle_root>/models/model.pt``.
        bundle_root: folder of the bundle; the message for missing weights names its training command.
    """

    def __init__(self, network: nn.Module, ckpt_path: str, bundle_root: str) -> None:
        self.network = network
        self.ckpt_path = Path(str(ckpt_path)).expanduser()
        self.bundle_root = Path(bundle_root)

    def attach(self, engine: Engine) -> None:
        """Load at the start of every run of ``engine``."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine | None = None) -> None:
        """Load the weights.

        Raises:
            InputError: the file is missing, no checkpoint, or belongs to another network (first mismatch named).
        """
        path = short_path(self.ckpt_path)
        remedy = f"make the weights by: {training_command(self.bundle_root)}"
        weights.load_into(self.network, weights.read(path, remedy), path)
