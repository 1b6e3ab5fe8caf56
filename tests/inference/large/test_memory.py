"""Memory grows with the width of an image, as the formula says, and not with its height."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import shared

MIB = 2**20
ROI = 128
TILE = 64


def formula(width: int, samples: int) -> float:
    """Bytes, as LargeImages states them, for 8 bits and no enlargement."""
    blending = 4 * samples * width * (ROI + 256)
    reading = 2 * samples * width * (ROI + TILE + 256)
    return blending + reading + 2 * 256 * samples * width


@pytest.mark.slow
def test_peak_memory(tmp_path: Path) -> None:
    samples = 3
    program = textwrap.dedent(
        """
        import json, sys
        from pathlib import Path
        import numpy as np, tifffile, torch
        from shared.benchmark.memory import peak_resident_set
        from shared.inference import EnhancementInferer, LargeImages, LoadSourced

        def enhance(name, height, width):
            rng = np.random.default_rng(0)
            shape = (height, width) if samples == 1 else (height, width, samples)
            tiles = (rng.integers(0, 255, (tile, tile, samples), np.uint8) for _ in range(10**6))
            source = folder / f"{name}.tif"
            tifffile.imwrite(source, tiles, shape=shape, dtype="uint8", tile=(tile, tile), metadata=None,
                             photometric="rgb" if samples == 3 else "minisblack",
                             **({"planarconfig": "contig"} if samples == 3 else {}))
            item = {"image": str(source), "output": str(folder / "out" / source.name)}
            LargeImages([item], network, EnhancementInferer(samples, roi), LoadSourced("image"), "cpu").run()
            return peak_resident_set()

        folder, samples, roi, tile = Path(sys.argv[1]), *map(int, sys.argv[2:])
        network = torch.nn.Conv2d(samples, samples, 1)
        print(json.dumps([enhance("small", 400, 2560), enhance("wide", 1200, 20480), enhance("tall", 3000, 20480)]))
        """
    )
    process = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(samples), str(ROI), str(TILE)],
        cwd=Path(shared.__file__).resolve().parents[1],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    small, wide, tall = json.loads(process.stdout.splitlines()[-1])
    growth = (formula(20480, samples) - formula(2560, samples)) / MIB
    # What the allocator keeps in pieces comes on top.
    assert wide - small < 1.1 * growth + 16
    pixels = (3000 - 1200) * 20480 * samples / MIB
    assert tall - wide < 0.2 * pixels, "the rows more, as values of 8 bits, are not held"
