"""Memory of a volume is that of some slices, however many there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import shared
from shared.benchmark.process import STEADY
from tests.images.nifti_files import save_nifti
from tests.inference.large.case import noise

MIB = 2**20
SIZE = 128
COUNTS = (40, 155)


@pytest.mark.slow
@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_peak_memory(tmp_path: Path, plane: str) -> None:
    for count in COUNTS:
        shape = (SIZE, SIZE, count) if plane == "axial" else (count, SIZE, SIZE)
        save_nifti(tmp_path / f"{count}.nii.gz", noise(shape), np.eye(4))
    program = textwrap.dedent(
        """
        import json, sys
        from pathlib import Path
        import torch
        from shared.benchmark.memory import peak_resident_set
        from shared.inference import EnhancementInferer, LargeImages, LoadSourced

        def enhance(count):
            item = {"image": str(folder / f"{count}.nii.gz"), "output": str(folder / "out" / f"{count}.nii.gz")}
            LargeImages([item], network, EnhancementInferer(1), load, "cpu").run()
            return peak_resident_set()

        folder, load = Path(sys.argv[1]), LoadSourced("image", plane=sys.argv[2])
        network = torch.nn.Upsample(scale_factor=4)
        print(json.dumps([enhance(int(count)) for count in sys.argv[3:]]))
        """
    )
    process = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), plane, *map(str, COUNTS)],
        cwd=Path(shared.__file__).resolve().parents[1],
        env={**os.environ, **STEADY},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    few, many = json.loads(process.stdout.splitlines()[-1])
    more = (COUNTS[1] - COUNTS[0]) * SIZE**2 / MIB
    # Along another axis than the last the source is held, and its bytes are, too, while it is read.
    bound = 5 + (0 if plane == "axial" else 2 * more)
    assert many - few < bound
    # A result of 8 bits that is held would break the bound, to say nothing of one of 32 bits.
    assert 16 * more > 2 * bound
