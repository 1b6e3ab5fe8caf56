"""Weights on disk: written whole or not at all, and read with a clear word when they do not fit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from shared.distributed import rank
from shared.errors import InputError
from shared.files import make_folder, short_path, whole_file

MODEL = "model.pt"
"""File of the enhancement network's weights."""
RECOGNITION = "recognition.pt"
"""File of the recognition networks' weights, by task."""
EARLIER = "earlier-"
"""How the sub-folders of weights are called in which those of earlier runs lie; a number follows."""
WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which other projects' files hold a network's state beside other things."""
PREFIXES = ("module.", "_orig_mod.")
"""What data-parallel and compiled networks put before the names of their tensors."""

Networks = nn.Module | Mapping[str, nn.Module]
"""One network, or several by name: a mapping or an ``nn.ModuleDict``."""


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network inside DistributedDataParallel, or the network itself."""
    return network.module if isinstance(network, DistributedDataParallel) else network


def save(content: Mapping[str, Any], path: str | Path) -> None:
    """Write a state to a file on rank 0, so that at any time the file is either the old one or the new one.

    Raises:
        InputError: when it cannot be written.
    """
    if rank() > 0:
        return
    make_folder(Path(path).parent)
    try:
        with whole_file(path) as partial:
            write(content, partial)
    except OSError as err:
        raise InputError(f"{path} cannot be written: {err.strerror or err}") from err


def write(content: Mapping[str, Any], path: str | Path) -> None:
    """Write a state to a file; equal states give equal bytes, whatever the file is called.

    Raises:
        OSError: when it cannot be written, for example on a full disk.
    """
    # Given a path, torch would write its name, which is random for a hidden file, into the file.
    with open(path, "wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as err:
            # What torch raises when it closes a file that it could not write; the reason is what came before.
            if isinstance(err.__context__, OSError):
                raise err.__context__ from err
            raise


def read(path: str | Path, remedy: str = "", expected: str = "a file written by training") -> dict[str, Any]:
    """Return the dictionary in a file of tensors, numbers and strings, on the CPU.

    Args:
        path: the file.
        remedy: what to do when it is missing, for the message.
        expected: what the file should be, for the message.

    Raises:
        InputError: when the file is missing or no state that torch can read.
    """
    if not Path(path).is_file():
        words = [f"{path}: no such file", remedy, *(f"that of an earlier run is {short_path(p)}" for p in latest(path))]
        raise InputError("; ".join(filter(None, words)))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged or foreign file raises nearly anything: UnpicklingError, RuntimeError, EOFError, IndexError, ...
    except Exception as err:
        raise InputError(f"{path}: found no readable PyTorch state, expected {expected}") from err
    if not isinstance(content, dict):
        raise InputError(f"{path}: found {type(content).__name__}, expected a dictionary of states")
    return content


def read_foreign(path: str | Path) -> dict[str, Tensor]:
    """Return the state dict of one network in a file of another project, with the names that the network gave.

    Args:
        path: a state dict, plain or under one of the keys ``WRAPPERS``; the ``PREFIXES`` of data-parallel and compiled
            networks are taken off.

    Raises:
        InputError: the file is missing, unreadable, or holds something else than named tensors.
    """
    content: Any = read(path, "expected a state dict written by torch.save", "a state dict of tensors alone")
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not content or not all(isinstance(value, Tensor) for value in content.values()):
        found = ", ".join(map(str, list(content)[:3]))
        raise InputError(f"{path}: expected a dict of named tensors, found {f'keys {found}' if found else 'nothing'}")
    return {_without_prefixes(str(key)): value for key, value in content.items()}


def set_aside(folder: str | Path, names: Sequence[str]) -> Path | None:
    """Move files that an earlier run left into a sub-folder ``earlier-1``, ``earlier-2``, ..., which no reader enters.

    Args:
        folder: where they lie.
        names: of the files; those that are not there are passed over.

    Returns:
        The sub-folder, which is new, or None when there was nothing to move.

    Raises:
        InputError: when they cannot be moved.
    """
    folder = Path(folder)
    found = [name for name in names if (folder / name).is_file()]
    if not found:
        return None
    place = folder / f"{EARLIER}{max(_numbers(folder), default=0) + 1}"
    try:
        place.mkdir()
        for name in found:
            os.replace(folder / name, place / name)
    except OSError as err:
        message = f"{folder}: files of an earlier run cannot be moved to {place.name}: {err.strerror or err}"
        raise InputError(message) from err
    return place


def latest(path: str | Path) -> list[Path]:
    """Return where the file of this name lies that was set aside last, in a list of one or none."""
    path = Path(path)
    places = (path.parent / f"{EARLIER}{number}" / path.name for number in sorted(_numbers(path.parent), reverse=True))
    return [place for place in places if place.is_file()][:1]


def first_not_finite(state: Mapping[str, Any]) -> str | None:
    """Return the name of a tensor with a value that is NaN or infinite, None where all are finite.

    Args:
        state: a state dict, or a dictionary of such.
    """
    return next((name for name, tensor in _tensors(state) if not bool(torch.isfinite(tensor).all())), None)


def weights_digest(state: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the names, types, shapes and values of all tensors.

    Two files of equal weights may differ in their bytes; their digest is the same.

    Args:
        state: a state dict, or several of them by name, as recognition.pt holds; what is no tensor does not count.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(_tensors(state)):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().view(-1)
        digest.update(values.view(torch.uint8).numpy().tobytes() if values.numel() else b"")
    return digest.hexdigest()


def state_of(networks: Networks) -> dict[str, Any]:
    """Return the state dict of a network, or of each of several by name, out of their data-parallel wrappers."""
    if isinstance(networks, Mapping | nn.ModuleDict):
        return {name: unwrapped(network).state_dict() for name, network in networks.items()}
    return unwrapped(networks).state_dict()


def load(networks: Networks, path: str | Path, remedy: str = "") -> None:
    """Load what :func:`state_of` gave into the same network, or into networks of the same names.

    Args:
        networks: the network, or several by name; the file may hold others too.
        path: the file.
        remedy: what to do when it is missing, for the message.

    Raises:
        InputError: when the file is missing or unreadable, or lacks a network's state or does not fit it.
    """
    content = read(path, remedy)
    if isinstance(networks, Mapping | nn.ModuleDict):
        for name, network in networks.items():
            load_into(network, content.get(name, {}), f"{path} ({name})")
    else:
        load_into(networks, content, path)


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


def _without_prefixes(key: str) -> str:
    while key.startswith(PREFIXES):
        key = key.split(".", 1)[1]
    return key


def _numbers(folder: Path) -> Iterator[int]:
    """Yield the numbers of the sub-folders of earlier runs."""
    for place in folder.glob(f"{EARLIER}*"):
        number = place.name.removeprefix(EARLIER)
        if number.isdecimal():
            yield int(number)


def _tensors(state: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of a state dict, or of several by name, with their names."""
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, Mapping):
            yield from _tensors(value, f"{prefix}{name}.")
