"""What tells the weights of one network from those of another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch


def weights_digest(state: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the names, types, shapes and values of all tensors.

    Two files of equal weights may differ in their bytes; their digest is the same.

    Args:
        state: a state dict, or several of them by name, as recognition.pt holds; what is no tensor does not count.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(_flat(state)):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().view(-1)
        digest.update(values.view(torch.uint8).numpy().tobytes() if values.numel() else b"")
    return digest.hexdigest()


def _flat(state: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            yield prefix + name, value
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
