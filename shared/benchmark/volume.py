"""Enhancement of a volume slice by slice: its time beside that of the network alone, and its memory."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import nibabel
import numpy as np
import torch
from torch import nn

from shared.benchmark.memory import peak_resident_set
from shared.benchmark.process import STEADY, run_alone
from shared.benchmark.settings import Settings
from shared.benchmark.timing import interleave
from shared.inference import EnhancementInferer, LargeImages, LoadSourced
from shared.networks import RIRGenerator

SLICE_BY_SLICE, ALONE = "slice by slice, file to file", "network alone"
_CHANNELS = 3


def measure_volume(settings: Settings, progress: Callable[[str], None]) -> dict[str, list[float]]:
    """Return the seconds that a volume takes, and those of the network with the same batches.

    On the CPU, whatever the device: on a GPU packing the result takes longer than the network.
    """
    network = _network(settings.volume_blocks, settings.volume_features)
    shape = (settings.volume_batch, _CHANNELS, settings.volume_size, settings.volume_size)
    batch = torch.rand(shape, generator=torch.Generator().manual_seed(0))

    def alone() -> None:
        with torch.no_grad():
            for _ in range(settings.volume_slices // settings.volume_batch):
                network(batch)

    with volume_of(settings.volume_slices, settings.volume_size) as source:
        variants = {SLICE_BY_SLICE: lambda: enhance(source, network, settings.volume_batch), ALONE: alone}
        return interleave(variants, settings.volume_rounds, 1, "cpu", progress)


def peak_memory_of_volume(slices: int, settings: Settings) -> float:
    """Return the peak in MiB of a fresh process that enhances a volume of so many slices by a small network.

    Raises:
        InputError: when the process fails, for example for want of memory.
    """
    with volume_of(slices, settings.volume_size) as source:
        title = f"peak memory of a volume of {slices} slices"
        arguments = (str(source), json.dumps(asdict(settings)))
        return float(run_alone(title, "shared.benchmark.volume", *arguments, environment=STEADY))


@contextlib.contextmanager
def volume_of(slices: int, size: int) -> Iterator[Path]:
    """A compressed NIfTI file of discs with waves under noise, 16 bits; it is removed afterwards."""
    generator = np.random.default_rng(0)
    x, y, z = np.ogrid[:size, :size, :slices]
    disc = (x - size / 2) ** 2 + (y - size / 2) ** 2 < (0.4 * size) ** 2
    noisy = 500 + 300 * np.sin(x / 9 + z) * np.cos(y / 7) + generator.normal(0, 40, (size, size, slices))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.nii.gz"
        nibabel.save(nibabel.Nifti1Image((disc * noisy).clip(0).astype(np.int16), np.eye(4)), path)
        yield path


def enhance(source: Path, network: nn.Module, batch: int) -> None:
    """Enhance a volume as a bundle's inference does it, without a word."""
    item = {"image": str(source), "output": str(source.with_name("enhanced") / source.name)}
    inferer = EnhancementInferer(_CHANNELS, roi_size=256, sw_batch_size=batch)
    with contextlib.redirect_stderr(io.StringIO()):
        LargeImages([item], network, inferer, LoadSourced("image"), "cpu").run()


def enhance_and_measure(source: Path, settings: Settings) -> float:
    """Enhance a volume in this process and return its peak in MiB."""
    torch.set_num_threads(settings.threads)
    enhance(source, _network(1, settings.volume_memory_features), settings.volume_batch)
    return peak_resident_set()


def _network(blocks: int, features: int) -> nn.Module:
    torch.manual_seed(0)
    return RIRGenerator(_CHANNELS, _CHANNELS, blocks, features).eval()


if __name__ == "__main__":
    print(enhance_and_measure(Path(sys.argv[1]), Settings(**json.loads(sys.argv[2]))))
