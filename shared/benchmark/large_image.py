"""Time and memory of enhancing a very large image, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from torch import nn

import shared
from shared.benchmark.figures import Bound, Figure
from shared.benchmark.memory import peak_resident_set
from shared.benchmark.timing import synchronize
from shared.errors import InputError
from shared.inference import EnhancementInferer, LargeImages, LoadSourced
from shared.networks import SRResNet

BOUNDS = {"large_memory_over_small": Bound("at most", 1.1)}
"""Bounds of the figures of a large image."""

_TILE = 512


@dataclass(frozen=True)
class LargeSettings:
    """What is enhanced, and by what: a small SR-ResNet, so that a CPU gets through 20,000 x 20,000 pixels in minutes.

    Attributes:
        size: height and width of the image, in pixels.
        channels: 1 (grey) or 3 (RGB), of 8 bits.
        device: "cpu" or "cuda".
        threads: of PyTorch on the CPU.
        fraction: the smaller image has the same width and this part of the rows.
        num_blocks: residual blocks of the SR-ResNet.
        features: channels of its hidden layers.
        roi_size, overlap, sw_batch_size: of the windows, as in the bundles.
    """

    size: int = 20_000
    channels: int = 1
    device: str = "cpu"
    threads: int = 1
    fraction: float = 0.125
    num_blocks: int = 1
    features: int = 8
    roi_size: int = 256
    overlap: float = 0.25
    sw_batch_size: int = 4


@dataclass(frozen=True)
class LargeRun:
    """What one process found.

    Attributes:
        height, width: of the image, in pixels.
        seconds: from the opened source to the finished result.
        network_seconds: part of it inside the network.
        memory: peak resident set in MiB, on CUDA what PyTorch allocated there.
    """

    height: int
    width: int
    seconds: float
    network_seconds: float
    memory: float

    @property
    def speed(self) -> float:
        """Megapixels per second."""
        return self.height * self.width / 1e6 / self.seconds


def measure_large_image(settings: LargeSettings, progress: Callable[[str], None]) -> list[LargeRun]:
    """Enhance the smaller image, then the large one, each in a fresh process; sources and results are removed.

    Raises:
        InputError: a process fails, for example for want of memory or of space on the disk.
    """
    small = max(int(settings.size * settings.fraction), 1)
    runs = []
    for height in (small, settings.size):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "phantom.tif"
            write_phantom(source, height, settings.size, settings.channels)
            progress(f"source of {height} x {settings.size} pixels: {source.stat().st_size / 2**20:.0f} MiB")
            runs.append(_run_alone(source, settings))
        run = runs[-1]
        progress(f"{run.seconds:.1f} s, {run.speed:.2f} megapixels/s, {run.memory:.0f} MiB")
    return runs


def compare_runs(small: LargeRun, large: LargeRun) -> list[Figure]:
    """Return the figures, with and without bounds."""
    memory = large.memory / small.memory
    share = large.network_seconds / large.seconds
    rows = f"{large.height} rows / {small.height} rows"
    return [
        Figure("large_memory_over_small", f"peak memory: {rows}", memory, memory, memory),
        Figure("large_network_share", "network / all of the time", share, share, share),
        Figure("large_megapixels_per_second", "megapixels per second", large.speed, large.speed, large.speed),
    ]


def run_rows(runs: list[LargeRun]) -> list[list[str]]:
    """Return a header and one row per image."""
    rows = [["image", "seconds", "megapixels/s", "peak MiB", "network"]]
    for run in runs:
        share = f"{100 * run.network_seconds / run.seconds:.0f} %"
        size = f"{run.height} x {run.width}"
        rows.append([size, f"{run.seconds:.1f}", f"{run.speed:.2f}", f"{run.memory:.0f}", share])
    return rows


def write_phantom(path: Path, height: int, width: int, channels: int) -> None:
    """Write a tiled, Deflate-compressed TIFF of discs and waves under Gaussian noise, one tile after the other."""

    def tiles() -> Iterator[NDArray]:
        generator = np.random.default_rng(0)
        noise = generator.normal(0, 12, (3 * _TILE, 3 * _TILE, channels))
        for top in range(0, height, _TILE):
            for left in range(0, width, _TILE):
                y, x = np.ogrid[top : top + _TILE, left : left + _TILE]
                discs = (y % 310 - 155) ** 2 + (x % 270 - 135) ** 2 < 90**2
                clean = 110 + 40 * np.sin(y / 700) * np.cos(x / 900) + 60 * discs
                shift = generator.integers(0, 2 * _TILE, 2)
                noisy = clean[..., None] + noise[shift[0] :, shift[1] :][:_TILE, :_TILE]
                yield noisy.clip(0, 255).astype(np.uint8)

    colour: dict[str, Any] = {"photometric": "rgb", "planarconfig": "contig"} if channels == 3 else {}
    tifffile.imwrite(
        path,
        tiles(),
        shape=(height, width, channels) if channels > 1 else (height, width),
        dtype=np.uint8,
        tile=(_TILE, _TILE),
        compression="zlib",
        metadata=None,
        **{"photometric": "minisblack", **colour},
    )


class _TimedNetwork(nn.Module):
    """A network that adds up the seconds of its passes."""

    def __init__(self, network: nn.Module, device: str) -> None:
        super().__init__()
        self.network = network
        self.device = device
        self.seconds = 0.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the network returns."""
        synchronize(self.device)
        start = time.perf_counter()
        enhanced = self.network(images)
        synchronize(self.device)
        self.seconds += time.perf_counter() - start
        return enhanced


def enhance_and_measure(source: Path, settings: LargeSettings) -> LargeRun:
    """Enhance the image in this process."""
    torch.set_num_threads(settings.threads)
    torch.manual_seed(0)
    channels = settings.channels
    bare = SRResNet(channels, channels, settings.num_blocks, settings.features, norm="none")
    network = _TimedNetwork(bare.to(settings.device), settings.device)
    inferer = EnhancementInferer(channels, settings.roi_size, settings.sw_batch_size, settings.overlap)
    item = {"image": str(source), "output": str(source.with_name("enhanced") / source.name)}
    images = LargeImages([item], network, inferer, LoadSourced("image"), settings.device)
    start = time.perf_counter()
    images.run()
    seconds = time.perf_counter() - start
    with tifffile.TiffFile(item["output"]) as file:
        height, width = file.pages.first.shape[:2]
    cuda = torch.device(settings.device).type == "cuda"
    memory = torch.cuda.max_memory_allocated() / 2**20 if cuda else peak_resident_set()
    return LargeRun(height, width, seconds, network.seconds, memory)


def _run_alone(source: Path, settings: LargeSettings) -> LargeRun:
    # Standard error is the terminal's: the progress of minutes shows there, and so does an error.
    process = subprocess.run(
        [sys.executable, "-m", "shared.benchmark.large_image", str(source), json.dumps(asdict(settings))],
        cwd=Path(shared.__file__).resolve().parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.returncode != 0:
        raise InputError(f"large image: process ended with code {process.returncode}, expected 0")
    return LargeRun(**json.loads(process.stdout.splitlines()[-1]))


if __name__ == "__main__":
    print(json.dumps(asdict(enhance_and_measure(Path(sys.argv[1]), LargeSettings(**json.loads(sys.argv[2]))))))
