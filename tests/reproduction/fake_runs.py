"""A stand-in for MONAI's bundle runner that leaves behind what a run leaves, without training anything."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shared.reporting import ImageRow, Recognition, per_image_csv, summarise


class FakeBundles:
    """Called in place of ``monai.bundle.run``; remembers its calls.

    Weights are a function of the overrides that matter, as after training; ``fails`` names strategies whose run ends
    with an error, ``same_weights`` makes all runs alike (a setting that does not arrive).
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fails: dict[str, Exception | type[BaseException]] = {}
        self.same_weights = False

    def __call__(self, run_id: str, config_file: list[str], **overrides: Any) -> None:
        self.calls.append((run_id, {"config_file": config_file, **overrides}))
        print("said by the bundle")
        models, output = Path(overrides["ckpt_dir"]), Path(overrides["output_dir"])
        models.mkdir(parents=True, exist_ok=True)
        output.mkdir(parents=True, exist_ok=True)
        torch.save({"epoch": 1}, models / "checkpoint.pt")
        if run_id not in ("training", "evaluating"):  # a first stage
            return
        if error := self.fails.get(overrides.get("strategy", "gradprom")):
            raise error
        folders = ("ckpt_dir", "output_dir", "ckpt_path", "resume")
        matters = sorted((key, str(value)) for key, value in overrides.items() if key not in folders)
        number = 0 if self.same_weights else zlib.crc32(str(matters).encode())
        if run_id == "training":
            torch.save({"weight": torch.tensor([number])}, models / "model.pt")
            torch.save({"diagnosis": {"weight": torch.tensor([number])}}, models / "recognition.pt")
        self._report(output, np.random.default_rng(number))

    @staticmethod
    def _report(output: Path, random: np.random.Generator) -> None:
        rows = []
        for image in range(16):
            quality = {
                version: {"psnr": base + random.normal(), "ssim": float(random.uniform(0.5, 0.9))}
                for version, base in (("degraded", 20.0), ("enhanced", 30.0))
            }
            versions = ("degraded", "enhanced", "clean")
            confusion = {version: np.diag([1, 0]) for version in versions}
            classes = dict.fromkeys(("target", *versions), 0)
            answers = {
                "diagnosis": Recognition("diagnosis", confusion, classes),
                "segmentation": Recognition("segmentation", confusion),
            }
            rows.append(ImageRow(f"image{image}", f"patient{image // 2}", quality, answers))
        (output / "per_image.csv").write_text(per_image_csv(rows))
        about = {"phantom": True, "device": "cpu", "versions": {}}
        (output / "summary.json").write_text(json.dumps({**summarise(rows), "run": about}))
