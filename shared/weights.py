"""Weights on disk: written whole or not at all, and read with a clear word when they do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.handlers import DiskSaver
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from shared.errors import InputError


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network inside DistributedDataParallel, or the network itself."""
    return network.module if isinstance(network, DistributedDataParallel) else network


def save(content: Mapping[str, Any], path: str | Path) -> None:
    """Write a state to a file on rank 0, so that at any time the file is either the old one or the new one."""
    path = Path(path)
    DiskSaver(str(path.parent), atomic=True, require_empty=False)(content, path.name)


def read(path: str | Path, remedy: str = "") -> dict[str, Any]:
    """Return what :func:`save` wrote, on the CPU.

    Args:
        path: the file.
        remedy: what to do when it is missing, for the message.

    Raises:
        InputError: when the file is missing or no state that torch can read.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file{'; ' + remedy if remedy else ''}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged or foreign file raises nearly anything: UnpicklingError, RuntimeError, EOFError, IndexError, ...
    except Exception as err:
        raise InputError(f"{path}: found no readable PyTorch state, expected a file written by training") from err
    if not isinstance(content, dict):
        raise InputError(f"{path}: found {type(content).__name__}, expected a dictionary of states")
    return content


def save_all(networks: Mapping[str, nn.Module], path: str | Path) -> None:
    """Write the states of several networks to one file, by name."""
    save({name: network.state_dict() for name, network in networks.items()}, path)


def load_all(networks: Mapping[str, nn.Module], path: str | Path, remedy: str = "") -> None:
    """Load what :func:`save_all` wrote into networks of the same names.

    Args:
        networks: by name; the file may hold others too.
        path: the file.
        remedy: what to do when it is missing, for the message.

    Raises:
        InputError: when the file is missing or unreadable, or lacks a network's state or does not fit it.
    """
    states = read(path, remedy)
    for name, network in networks.items():
        load_into(network, states.get(name, {}), f"{path} ({name})")


def load_into(network: nn.Module, state: Mapping[str, Any], source: str | Path) -> None:
    """Load a state dict that fits the network exactly.

    Raises:
        InputError: naming the source and the first key that is missing, unknown or of another shape.
    """
    network = unwrapped(network)
    own = network.state_dict()
    for key, value in own.items():
        if key not in state:
            raise InputError(
                f"{source}: weights of another network: found no {key!r}, expected all {len(own)} keys of "
                f"{type(network).__name__}"
            )
        found = tuple(getattr(state[key], "shape", ()))
        if found != tuple(value.shape):
            raise InputError(
                f"{source}: weights of another network: found {key!r} of shape {found}, expected {tuple(value.shape)}"
            )
    unknown = next((key for key in state if key not in own), None)
    if unknown is not None:
        raise InputError(f"{source}: weights of another network: found {unknown!r}, which {type(network).__name__} "
                         "has not")
    network.load_state_dict(state)
