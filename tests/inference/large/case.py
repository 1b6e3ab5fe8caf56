"""Images enhanced both ways: in bands, and at once by what inference.json does for ordinary images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from torch import nn

from shared.images import IntensityScaling, write_picture
from shared.images.picture import SourceRecord
from shared.inference import EnhancementInferer, LargeImages, LoadSourced, RestoreSourced

RNG = np.random.default_rng(0)
UNIT = IntensityScaling("window", 0.0, 1.0)


class Uneven(nn.Module):
    """A network whose answer depends on where in its window a pixel lies, so that every window and weight matters."""

    def __init__(self, channels: int = 1, factor: int = 1, gain: float = 0.5) -> None:
        super().__init__()
        self.factor = factor
        self.gain = nn.Parameter(torch.tensor(gain))
        self.channels = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        down = torch.linspace(0, 1, images.shape[2])[:, None]
        across = torch.linspace(0, 1, images.shape[3]) ** 2
        tint = torch.arange(1, self.channels + 1)[:, None, None]
        answer = self.gain * images + 0.2 * images.mean(dim=(2, 3), keepdim=True) + 0.1 * tint * down * across
        return answer.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)


def noise(shape: tuple[int, ...], dtype: str = "uint8") -> NDArray:
    if np.dtype(dtype).kind == "f":
        return RNG.random(shape).astype(dtype)
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def write(path: Path, pixels: NDArray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.ndim == 3 and "photometric" not in options:
        options["photometric"] = "rgb"
    tifffile.imwrite(path, pixels, metadata=None, **options)
    return path


def in_bands(
    source: Path, output: Path, network: nn.Module, inferer: EnhancementInferer, scaling: IntensityScaling = UNIT
) -> Any:
    """Enhance as a large image; return what tifffile reads."""
    item = {"image": str(source), "output": str(output), "large": True}
    LargeImages([item], network, inferer, LoadSourced("image", scaling), "cpu").run()
    return tifffile.imread(output)


def at_once(
    source: Path, output: Path, network: nn.Module, inferer: EnhancementInferer, scaling: IntensityScaling = UNIT
) -> Any:
    """Enhance as an ordinary image; return what tifffile reads."""
    data = LoadSourced("image", scaling)({"image": str(source)})
    with torch.no_grad():
        data["pred"] = inferer(data["image"][None], network.eval())[0]
    data = RestoreSourced("pred")(data)
    write_picture(str(output), data["pred"], SourceRecord.from_json(data["image_record"]))
    return tifffile.imread(output)
