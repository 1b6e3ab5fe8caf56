"""What decides about an enhanced image, so that parts of two different ones are never mixed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shared.bundle import provenance
from shared.files import digest
from shared.images.scaling import IntensityScaling
from shared.inference.inferer import EnhancementInferer
from shared.networks.weights import weights_digest


def describe_origin(
    source: str, network: nn.Module, inferer: EnhancementInferer, scaling: IntensityScaling, device: torch.device
) -> dict[str, Any]:
    """Source (path, size, time of its last change), network and weights, settings, device and versions, as JSON types.

    ``sw_batch_size`` is left out: it changes nothing but rounding, and a run that stopped for want of memory can go on
    with a smaller one.
    """
    path = Path(source).resolve()
    status = path.stat()
    return {
        "source": {"path": str(path), "bytes": status.st_size, "changed": status.st_mtime_ns},
        "network": str(network),
        "weights": weights_digest(network.state_dict()),
        "inferer": {
            "channels": inferer.channels,
            "roi_size": list(inferer.roi_size),
            "overlap": inferer.overlap,
            "divisible_by": inferer.divisible_by,
        },
        "intensity_scaling": asdict(scaling),
        "device": device.type,
        "versions": provenance.versions(),
    }


def fingerprint(origin: Mapping[str, Any]) -> str:
    """SHA-256 of an origin."""
    return digest(json.dumps(origin, sort_keys=True).encode())
