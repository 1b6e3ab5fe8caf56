"""What decides about an enhanced image, so that parts of two different ones are never mixed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shared.bundle import provenance
from shared.images.scaling import IntensityScaling
from shared.inference.inferer import EnhancementInferer


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
        "weights": weights_digest(network),
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


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of a network's parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fingerprint(origin: Mapping[str, Any]) -> str:
    """SHA-256 of an origin."""
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
