"""The output of a trainer that does not take batches apart, in the form that MONAI's handlers expect."""

from __future__ import annotations

from collections.abc import Mapping

from ignite.engine import Engine
from monai.engines.utils import IterationEvents


class WholeBatch:
    """Give the output of an iteration as a list of one dictionary, that of the whole batch.

    A trainer with ``decollate=False`` leaves batches whole: taking one apart reads the loss from the device, once for
    each image. MONAI's handlers (StatsHandler, TensorBoardStatsHandler, MLFlowHandler) take the loss from the first of
    a list of dictionaries.
    """

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Wrap the output."""
        if isinstance(engine.state.output, Mapping):
            engine.state.output = [engine.state.output]
