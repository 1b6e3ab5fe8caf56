"""What a trainer left in its state after an iteration."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from monai.utils import CommonKeys


def last_loss(engine: Engine) -> float:
    """Return the loss of the last iteration; MONAI's decollation repeats it for every image of the batch."""
    output: Any = engine.state.output
    return float((output[0] if isinstance(output, list) else output)[CommonKeys.LOSS])
