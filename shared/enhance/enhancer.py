"""A bundle's own inference, one image at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import list_data_collate
from monai.utils import CommonKeys

from shared.bundle import provenance
from shared.bundle.configuration import check_settings
from shared.bundle.opening import INFERENCE
from shared.bundle.reading import start_workflow
from shared.errors import InputError
from shared.files import digest
from shared.images.attribution import Producer
from shared.images.picture import SourceRecord
from shared.inference.large.result import LargeResult
from shared.inference.transforms import NOTES_SUFFIX, RECORD_SUFFIX
from shared.version import __version__

BLOCKS = (
    "evaluator",
    "preprocessing",
    "weights_loader",
    "large_images",
    "producer",
    "ckpt_path",
    "large_image_pixels",
    "plane",
    "images",
)
# What says where, on what and with which words, and nothing about the result.
_PLACES = ("input", "output_dir", "ckpt_path", "device", "bundle_root", "dataset_dir", "any_modality")


@dataclass(frozen=True)
class Size:
    """Width, height, number of slices (pages, frames) and of channels of an image."""

    width: int
    height: int
    slices: int
    channels: int

    @classmethod
    def of(cls, record: SourceRecord, channels: int) -> Size:
        """The size of a loaded image."""
        slices = 1
        for length in record.shape[2:]:
            slices *= length
        # A raster is stored row by row, a volume in the order x, y, z.
        first, second = record.shape[:2]
        height, width = (first, second) if record.affine is None else (second, first)
        return cls(width, height, slices, channels)


class Enhancer:
    """The blocks of a bundle's ``inference.json``, as MONAI builds them.

    An image goes through the bundle's own evaluator, so that the result is the same file that
    ``python -m monai.bundle run`` writes; only its data come one by one, and its handlers stay away.

    Args:
        bundle: folder of the bundle.
        output_dir: folder of the results.
        overrides: values for keys of the configuration.

    Attributes:
        notes: what there is to say about the last result of :meth:`enhance`.

    Raises:
        InputError: the configuration lacks a block, or a value is outside its range.
    """

    def __init__(self, bundle: Path, output_dir: Path, overrides: Mapping[str, Any]) -> None:
        self._config = bundle / INFERENCE
        content = ConfigParser.load_config_file(str(self._config))
        missing = [key for key in (*BLOCKS, *overrides) if key not in content]
        if missing:
            raise InputError(f"{self._config}: found no {missing[0]!r}, expected a bundle of this collection")
        self._settings = {key: value for key, value in {**content, **overrides}.items() if key not in _PLACES}
        self._one = _OneBatch()
        # Absolute, as MONAI takes a value that begins with $, @ or % for an expression.
        places: dict[str, Any] = {"output_dir": str(output_dir.absolute()), "dataloader": self._one, "handlers": []}
        self._parser: ConfigParser = start_workflow(bundle, INFERENCE.stem, **places, **overrides).parser
        check_settings(self._parser)
        self.notes: tuple[str, ...] = ()
        # Built here, because another thread calls it.
        self._preprocessing = self._block("preprocessing")

    @property
    def weights(self) -> Path:
        """File of the weights."""
        return Path(str(self._block("ckpt_path"))).expanduser()

    def load_weights(self) -> None:
        """Load the weights, strictly.

        Raises:
            InputError: they are missing, unreadable, or those of another network.
        """
        self._block("weights_loader")()

    @property
    def on_phantoms(self) -> bool:
        """Whether the weights were trained on phantom images."""
        return bool(provenance.setting(self.weights, "phantom", False))

    @property
    def large_image_pixels(self) -> int | None:
        """Number of pixels of a TIFF image, or of voxels of an enhanced volume, above which it is a large one."""
        return self._block("large_image_pixels")

    @property
    def upscale_factor(self) -> int:
        """By how much the network enlarges an image."""
        return int(self._block("images#upscale_factor"))

    @property
    def plane(self) -> str:
        """Plane in which volumes are cut."""
        return str(self._block("plane"))

    @property
    def producer(self) -> Producer:
        """What the bundle says about itself."""
        found: Producer = self._block("producer")
        return found

    def fingerprint(self) -> str:
        """Twelve digits that change with the weights, the configuration and the version of the code."""
        content = json.dumps([__version__, self._settings], sort_keys=True, default=str).encode()
        # The scaling of intensities lies beside the weights, the version that a DICOM file names beside the settings.
        metadata = self._config.with_name("metadata.json")
        for path in (self.weights, self.weights.with_name(provenance.FILE_NAME), metadata):
            if path.is_file():
                content += path.read_bytes()
        return digest(content)[:12]

    def load(self, item: Mapping[str, Any]) -> tuple[dict[str, Any], SourceRecord]:
        """Read an image of ``find_images``, scaled and cut as the bundle does it.

        Safe to call from another thread.
        """
        data = self._preprocessing(dict(item))
        return data, SourceRecord.from_json(data[f"{CommonKeys.IMAGE}{RECORD_SUFFIX}"])

    def enhance(self, data: Mapping[str, Any]) -> None:
        """Enhance a loaded image and write the result where its item says."""
        self._one.batch = list_data_collate([data])
        self.notes = ()
        try:
            evaluator = self._block("evaluator")
            evaluator.run()
            self.notes = tuple(evaluator.state.output[0].get(f"{CommonKeys.PRED}{NOTES_SUFFIX}", ()))
        finally:
            self._one.batch = None
            # Each image gets a new one: it holds the image, and after an error ignite passes over the next run.
            self._parser.ref_resolver.remove_resolved_content("evaluator")

    def enhance_large(self, item: Mapping[str, Any]) -> tuple[Size, LargeResult]:
        """Read, enhance and write a large image in parts; return its size and what there is to say about it."""
        result: LargeResult = self._block("large_images").enhance(item)
        return Size(result.width, result.height, result.slices, result.channels), result

    def _block(self, key: str) -> Any:
        return self._parser.get_parsed_content(key)


class _OneBatch:
    """A data loader of a single batch, the one that is set."""

    def __init__(self) -> None:
        self.batch: Any = None

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Any]:
        yield self.batch


def choose_device(name: str | None) -> torch.device | None:
    """Return the device of a name, None where the bundle is to choose.

    Raises:
        InputError: there is no such device.
    """
    if name is None:
        return None
    try:
        device = torch.device(name)
    except RuntimeError as err:
        raise InputError(f"--device: found {name!r}, expected cpu, cuda or cuda:N") from err
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"--device: found {name!r}, expected cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise InputError(f"--device: found {name!r}, but this machine has {count} CUDA devices; expected cpu")
    return device
