"""Every fault a person can make ends a command with one line that says what was wrong, as the last line."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from shared.data import dataset_dir
from shared.errors import InputError, root_cause
from tests.bundles.commands import ROOT, SMOKE, TINY, arguments, call, run
from tests.data.brats_folders import write_brats
from tests.networks.vgg19_file import VGG16, saved, torchvision_vgg

BUNDLE = ROOT / "bundles" / "gradprom_isic"
TASK1 = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"
TASK3 = "ISIC2018_Task3_Training_Input", "ISIC2018_Task3_Training_GroundTruth"


def folder_of(root: Path, name: str) -> Path:
    """The innermost folder of that name: archives unpack into ``name/name`` or ``name``."""
    return max(root.rglob(name), key=lambda path: len(path.parts))


def copied(root: Path, names: tuple[str, str]) -> Path:
    """A copy of one task of the phantom data that looks like a person's own (it is not marked as phantom)."""
    for name in names:
        source = Path(dataset_dir("isic")) / name
        shutil.copytree(source, root / name)
    for file in Path(dataset_dir("isic")).glob("*.csv"):
        shutil.copy(file, root)
    return root


def images(root: Path, names: tuple[str, str]) -> list[Path]:
    return sorted(folder_of(root, names[0]).glob("*.jpg"))


def empty(root: Path) -> dict:
    root.mkdir(parents=True)
    return {"dataset_dir": root}


def no_masks(root: Path) -> dict:
    for mask in list(folder_of(copied(root, TASK1), TASK1[1]).glob("*_segmentation.png"))[:2]:
        mask.unlink()
    return {"dataset_dir": root, "auxiliary": "segmentation"}


def no_classes(root: Path) -> dict:
    table = next(copied(root, TASK3).rglob(f"{TASK3[1]}.csv"))
    table.write_text("\n".join(table.read_text().splitlines()[:-3]) + "\n")
    return {"dataset_dir": root}


def truncated(root: Path) -> dict:
    for image in images(copied(root, TASK3), TASK3):
        image.write_bytes(image.read_bytes()[:500])
    return {"dataset_dir": root}


def text_as_image(root: Path) -> dict:
    return {**truncated_text(copied(root, TASK3)), "num_workers": 2}


def truncated_text(root: Path) -> dict:
    for image in images(root, TASK3):
        image.write_text("not an image")
    return {"dataset_dir": root}


def mask_of_another_size(root: Path) -> dict:
    for mask in folder_of(copied(root, TASK1), TASK1[1]).glob("*_segmentation.png"):
        Image.new("L", (37, 31)).save(mask)
    return {"dataset_dir": root, "auxiliary": "segmentation"}


def foreign_checkpoint(root: Path) -> dict:
    root.mkdir(parents=True)
    state = {"stage": "recognition", "epoch": 1, "scaler": None, "objects": {"network": {"weight": torch.ones(2)}}}
    torch.save(state, root / "other.pt")
    return {"ckpt_path": root / "other.pt"}


def damaged_checkpoint(root: Path) -> dict:
    root.mkdir(parents=True)
    (root / "other.pt").write_bytes(b"PK\x03\x04 nonsense")
    return {"ckpt_path": root / "other.pt"}


def real_weights(root: Path) -> dict:
    models = root / "models"
    models.mkdir(parents=True)
    torch.save({}, models / "model.pt")
    (models / "provenance.json").write_text(json.dumps({"phantom": False}))
    return {"ckpt_dir": models}


def another_vgg(root: Path) -> dict:
    root.mkdir(parents=True)
    file = saved(torchvision_vgg(VGG16), root)
    return {"perceptual": "vgg19", "train#loss#terms#perceptual#vgg19_weights": file}


def case_without_contrast_agent(root: Path) -> dict:
    (write_brats(root) / "BraTS20_Training_003" / "BraTS20_Training_003_t1ce.nii.gz").unlink()
    return {"dataset_dir": root}


def tiny_images(root: Path) -> dict:
    root.mkdir(parents=True)
    for number in range(5):
        Image.fromarray(np.arange(9, dtype=np.uint8).reshape(3, 3) + number).save(root / f"{number}.png")
    return {"dataset_dir": root}


@dataclass
class Fault:
    """What is passed (directly, or made by ``make`` in a folder of its own), and what the last line must hold."""

    words: list[str]
    overrides: dict = field(default_factory=dict)
    make: Callable[[Path], dict] | None = None
    run_id: str = "training"
    bundle: str = "gradprom_isic"


def rirgan(data: str, words: list[str], make: Callable[[Path], dict] | None = None, **overrides: object) -> Fault:
    return Fault(words, overrides, make, bundle=f"rirgan_{data}")


FAULTS = {
    "missing folder": Fault(["dataset_dir", "is not a folder", "/nowhere"], {"dataset_dir": "/nowhere"}),
    "empty folder": Fault(["dataset_dir", "is empty", "can be had from"], make=empty),
    "images without masks": Fault(["mask", "2", "ISIC_"], make=no_masks),
    "images without classes": Fault(["class", "3", "ISIC_"], make=no_classes),
    "truncated image": Fault(["ISIC_", ".jpg"], make=truncated),
    "no image, in a worker": Fault(["ISIC_", ".jpg"], make=text_as_image),
    "mask of another size": Fault(["ISIC_", "_segmentation.png", "31"], make=mask_of_another_size),
    "unknown strategy": Fault(["strategy", "gradprom_cosine", "'gradpron'"], {"strategy": "gradpron"}),
    "misspelt override": Fault(["'strateg'", "did you mean 'strategy'"], {"strateg": "joint"}),
    "resume false": Fault(["resume", "'false'", "--resume False"], {"resume": "false"}),
    "batch size 0": Fault(["batch_size", ">= 1", "found 0"], {"batch_size": 0}),
    "batch larger than the data": Fault(["batch_size", "found 4"], {"batch_size": 99}),
    "negative noise": Fault(["sigma", ">= 0", "-0.1"], {"sigma": -0.1}),
    "warm-up without end": Fault(["warmup", "max_epochs 1"], {"max_epochs": 1, "warmup": 0.5}),
    "validation that never runs": Fault(["val_interval", "max_epochs 3", "found 9"], {"val_interval": 9}),
    "checkpoint of another network": Fault(["other.pt", "another network"], make=foreign_checkpoint),
    "damaged checkpoint": Fault(["other.pt", "expected a file written by training"], make=damaged_checkpoint),
    "missing checkpoint": Fault(["ckpt_path", "/nowhere.pt"], {"ckpt_path": "/nowhere.pt"}),
    "non-finite loss": Fault(["loss", "iteration", "images ISIC_"], {"learning_rate": 1e30}),
    "real weights in the way": Fault(["model.pt", "phantom", "--ckpt_dir"], make=real_weights),
    "nothing trained yet": Fault(["model.pt", "run training --config_file"], run_id="evaluating"),
    "VGG19 without its file": rirgan("mni152", ["vgg19_weights", "found no file", "torchvision"], perceptual="vgg19"),
    "file of another VGG": rirgan("mni152", ["vgg19.pth", "another network"], another_vgg),
    "nothing that recognises": rirgan("folder", ["perceptual", "that key", "'none'"], perceptual="recognition"),
    "crop too small for a discriminator": rirgan(
        "mni152", ["crop_size", "at least 32", "found 28"], crop_size=28, adversarial_epochs=1
    ),
    "crop that does not shrink": rirgan("mni152", ["crop_size", "multiple of 4", "found 34"], crop_size=34),
    "unknown scale": rirgan("mni152", ["scale", "2, 4", "found 3"], scale=3),
    "noise from high to low": rirgan("mni152", ["sigma", "[low, high]", "[0.1, 0.0]"], sigma="[0.1,0.0]"),
    "case without T1ce": rirgan("brats", ["BraTS20_Training_003_t1ce.nii.gz"], case_without_contrast_agent),
    "images too small": rirgan("folder", ["0.png", "3x3", "at least 16x16"], tiny_images),
}


PROCESSES = ("misspelt override", "no image, in a worker")
"""Faults that are tried as a command in a process of its own; the others in this one, which has imported MONAI."""


def attempt(name: str, folder: Path) -> tuple[int, str]:
    fault = FAULTS[name]
    overrides = fault.overrides | ({} if fault.make is None else fault.make(folder / "input"))
    files = ("train.json", "evaluate.json") if fault.run_id == "evaluating" else ("train.json",)
    act = run if name in PROCESSES else call
    bundle = ROOT / "bundles" / fault.bundle
    return act(arguments(bundle, folder, *files, SMOKE, TINY, run_id=fault.run_id, **overrides))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_last_line_says_what_was_wrong(name, tmp_path):
    code, output = attempt(name, tmp_path)
    assert code != 0
    line = output.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "Error:" not in line or name in ("non-finite loss", "warm-up without end")
    for word in FAULTS[name].words:
        assert word in line, line


def test_from_python_the_original_error_is_the_cause(tmp_path):
    workflow = ConfigWorkflow(
        config_file=[str(BUNDLE / "configs" / "train.json"), str(SMOKE)], run_id="training", logging_file=False,
        ckpt_dir=str(tmp_path), output_dir=str(tmp_path), strategy="gradpron",
    )
    workflow.initialize()
    with pytest.raises(RuntimeError) as caught:
        workflow.run()
    assert isinstance(root_cause(caught.value), InputError)
    assert "strategy: expected one of" in str(root_cause(caught.value))
