"""A bundle that is being checked: its files, its network, its weights."""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from shared.bundle import provenance
from shared.bundle.location import is_package
from shared.bundle.reading import config_files, read_configs
from shared.errors import InputError, message_of
from shared.files import read_json
from shared.networks import weights
from shared.packaging.metadata import for_weights

MODEL = "models/model.pt"
SEED = 0


class Bundle:
    """A bundle's folder as the checks see it.

    Nothing is written into the folder. Every configuration is read with ``bundle_root`` set to the folder, as the
    Model Zoo does it, and ``ckpt_path`` set to the weights below.

    Args:
        folder: holds ``configs``; in the repository or of a package.
        work: an empty folder for what the checks write.
        own_weights: whether to use ``models/model.pt`` where it exists. Else the weights are random ones of a fixed
            seed, which are written to ``work`` and read again.
        exports: folder whose sub-folder of the bundle's name gets the exported networks; None for one in ``work``.
    """

    def __init__(self, folder: Path, work: Path, own_weights: bool = True, exports: Path | None = None) -> None:
        self.folder = folder.resolve()
        self.name = self.folder.name
        self.is_package = is_package(self.folder)
        self.work = work
        self.exports = (work / "exports" if exports is None else exports.resolve()) / self.name
        self.has_weights = own_weights and (self.folder / MODEL).is_file()

    def path(self, name: str) -> Path:
        """The path of a configuration, for example "train"."""
        return Path(*config_files(self.folder, name))

    def config(self, name: str) -> dict[str, Any]:
        """The content of a configuration, as it is written.

        Raises:
            InputError: when it cannot be read or is no JSON object.
        """
        return read_json(self.path(name), "a configuration of MONAI")

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The content of ``configs/metadata.json``; an InputError when it cannot be read."""
        return self.config("metadata")

    @cached_property
    def packaged_metadata(self) -> dict[str, Any]:
        """The metadata as a package of this bundle has them, with the format of the weights that are checked.

        Raises:
            InputError: when a file that decides about them cannot be read.
        """
        # What a package says, and what holds without weights, is read as it is written.
        as_written = self.is_package or not self.has_weights
        origin = None if as_written else provenance.read(self.folder / "models")
        return for_weights(self.metadata, self.config("inference"), origin) if origin else self.metadata

    @cached_property
    def metadata_file(self) -> Path:
        """The file of :attr:`packaged_metadata`, for what MONAI reads by itself."""
        if self.packaged_metadata == self.metadata:
            return self.path("metadata")
        file = self.work / "metadata.json"
        provenance.write_json(self.packaged_metadata, file)
        return file

    @property
    def weights(self) -> Path:
        """The file of the weights; random ones are there once :attr:`network` was made."""
        return self.folder / MODEL if self.has_weights else self.work / "random" / "model.pt"

    @property
    def overrides(self) -> dict[str, Any]:
        """Keys of inference.json that depend on where the bundle and its weights lie."""
        return {"bundle_root": str(self.folder), "ckpt_path": str(self.weights)}

    def parser(self, *names: str) -> ConfigParser:
        """MONAI's parser over configurations, with the metadata where there are any."""
        for name in names:
            self.config(name)
        return read_configs(self.folder, *names, **self.overrides)

    @cached_property
    def network(self) -> nn.Module:
        """The network of inference.json on the CPU, in evaluation mode, with the weights loaded strictly.

        Raises:
            InputError: it cannot be built, or the weights are not its own.
        """
        # The caller's random numbers stay as they were.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            if not self.has_weights:
                self._begin_random()
            network = self._build()
            if not self.has_weights:
                _randomise(network)
                weights.save(network.state_dict(), self.weights)
                network = self._build()
        weights.load_into(network, weights.read(self.weights), self.weights)
        return network.eval()

    def _begin_random(self) -> None:
        """Make the folder of random weights; those of a package are for the network that its metadata speak of."""
        self.weights.parent.mkdir(parents=True, exist_ok=True)
        origin = self.folder / "models" / provenance.FILE_NAME
        if self.is_package and origin.is_file():
            shutil.copyfile(origin, self.weights.with_name(origin.name))

    def _build(self) -> nn.Module:
        parser = self.parser("inference")
        if "network_def" not in parser:
            raise InputError("configs/inference.json: network_def: found no such id, expected a network")
        try:
            network = parser.get_parsed_content("network_def")
        except Exception as err:  # MONAI instantiates anything, which raises anything
            raise InputError(f"configs/inference.json: network_def: cannot be built: {message_of(err)}") from err
        if not isinstance(network, nn.Module):
            raise InputError(f"configs/inference.json: network_def: found {type(network).__name__}, expected a network")
        return network


def _randomise(network: nn.Module) -> None:
    """Move what starts at a constant: an untrained enhancement network may be the identity, which hides errors."""
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.02)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
