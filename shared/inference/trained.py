"""What training left for inference: the network's weights, and how images were brought to [0, 1]."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn

from shared.bundle import provenance
from shared.errors import InputError
from shared.files import short_path
from shared.images.scaling import PROVENANCE_KEY, IntensityScaling
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
        remedy = f"make the weights by: {provenance.training_command(self.bundle_root)}"
        weights.load_into(self.network, weights.read(path, remedy), path)


def load_scaling(
    ckpt_path: str, default: IntensityScaling | None = None, bits: int | None = None
) -> IntensityScaling:
    """The rule in provenance.json beside the weights, else ``default``.

    Args:
        ckpt_path: path of the enhancement network's weights; its folder may hold provenance.json.
        default: rule of the bundle's configuration; None for percentiles 0.1 and 99.9.
        bits: depth of all integer images; None for what the rule says.

    Raises:
        InputError: provenance.json is no JSON object, its ``intensity_scaling`` is malformed, or so is ``bits``.
    """
    rule = provenance.setting(ckpt_path, PROVENANCE_KEY, None)
    if rule is None:
        found = default if default is not None else IntensityScaling()
    else:
        try:
            found = IntensityScaling.from_dict(rule)
        except InputError as err:
            raise InputError(f"{Path(ckpt_path).parent / provenance.FILE_NAME}: {err}") from err
    return found if bits is None else replace(found, bits=bits)
