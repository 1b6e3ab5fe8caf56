"""Every bundle's inference.json, as MONAI runs it, in a copy of the bundle's folder.

What a person's own training may have left in the tree (weights, provenance.json) plays no part.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.transforms import SaveImaged
from PIL import Image

from shared import InputError, bundle_root
from shared.errors import root_cause
from shared.images import IntensityScaling
from shared.inference import EnhancementInferer, load_scaling

BUNDLES = sorted(
    path.parents[1].name
    for path in Path(bundle_root("gradprom_isic")).parent.glob("*/configs/inference.json")
)
ODD = (37, 31)
RNG = np.random.default_rng(0)


def inference_parser(bundle: Path) -> ConfigParser:
    """The bundle's inference.json without weights."""
    parser = ConfigParser(ConfigParser.load_config_file(config(bundle)))
    parser["ckpt_path"] = "nowhere/model.pt"
    return parser


def scale_of(bundle: Path) -> int:
    """How many times larger the bundle's network makes an image."""
    return int(inference_parser(bundle).get_parsed_content("images#upscale_factor"))


def config(bundle: Path, name: str = "inference") -> str:
    return str(bundle / "configs" / f"{name}.json")


@pytest.fixture(params=BUNDLES)
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    copy = tmp_path / "bundles" / request.param
    shutil.copytree(Path(bundle_root(request.param)) / "configs", copy / "configs")
    return copy


@pytest.fixture
def ckpt_path(bundle: Path, tmp_path: Path) -> str:
    """Weights of the bundle's own network."""
    parser = inference_parser(bundle)
    torch.manual_seed(0)
    path = tmp_path / "model.pt"
    # Moved a little: an untrained network may be the identity by construction.
    state = parser.get_parsed_content("network_def").state_dict()
    torch.save(
        {key: value + 0.01 if value.is_floating_point() else value for key, value in state.items()}, path
    )
    return str(path)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(RNG.integers(0, 255, (*ODD, 3), dtype=np.uint8)).save(folder / "a.png")
    Image.fromarray(RNG.integers(0, 255, ODD, dtype=np.uint8)).save(folder / "sub" / "a.jpg")
    volume = RNG.integers(-1000, 1000, (20, 14, 2)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([-1, 1, 3, 1.0])), folder / "a.nii.gz")
    return folder


def workflow(bundle: Path, **overrides: Any) -> ConfigWorkflow:
    return ConfigWorkflow(config(bundle), config(bundle, "metadata"), workflow_type="infer", **overrides)


def test_folder_is_enhanced(bundle: Path, ckpt_path: str, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    inference = workflow(bundle, input=str(scans), output_dir=str(out), ckpt_path=ckpt_path, device="cpu")
    inference.initialize()
    inference.run()
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert found == ["a.nii.gz", "a.png", "sub/a.jpg.png"]
    with Image.open(out / "a.png") as image:
        assert (image.size, image.mode) == ((31 * scale_of(bundle), 37 * scale_of(bundle)), "RGB")
    source, result = (
        nibabel.Nifti1Image.from_filename(scans / "a.nii.gz"),
        nibabel.Nifti1Image.from_filename(out / "a.nii.gz"),
    )
    if scale_of(bundle) == 1:
        np.testing.assert_array_equal(source.affine, result.affine)
    else:
        finer = np.array([scale_of(bundle), scale_of(bundle), 1])
        np.testing.assert_allclose(result.header.get_zooms(), source.header.get_zooms() / finer)
    assert result.get_data_dtype() == source.get_data_dtype()
    factor = scale_of(bundle)
    assert not np.array_equal(source.get_fdata(), result.get_fdata()[::factor, ::factor]), (
        "a network with random weights changes images"
    )
    assert source.get_fdata().min() <= result.get_fdata().min()
    assert result.get_fdata().max() <= source.get_fdata().max()


def test_rule_saved_by_training_is_used(bundle: Path, ckpt_path: str, tmp_path: Path) -> None:
    rule = IntensityScaling("window", -160, 240)
    provenance = {"intensity_scaling": rule.to_dict()}
    Path(ckpt_path).with_name("provenance.json").write_text(json.dumps(provenance))
    inference = workflow(bundle, input=str(tmp_path), ckpt_path=ckpt_path)
    inference.initialize()
    assert inference.parser.get_parsed_content("preprocessing").transforms[0].scaling == rule
    assert load_scaling(ckpt_path) == rule


def test_steps_alone_give_the_enhanced_image(bundle: Path, scans: Path) -> None:
    """What MONAI Label does: a path under "image", the steps one by one, and a writer of its own."""
    inference = workflow(bundle, ckpt_path="nowhere/model.pt")
    inference.initialize()
    data = inference.preprocessing({"image": str(scans / "a.nii.gz")})
    assert isinstance(inference.inferer, EnhancementInferer)
    with torch.no_grad():
        data["pred"] = inference.inferer(data["image"][None], inference.network_def.eval())[0]
    for transform in inference.postprocessing.transforms:
        if not isinstance(transform, SaveImaged):
            data = transform(data)
    factor = scale_of(bundle)
    assert data["pred"].shape == (1, 20 * factor, 14 * factor, 2)
    assert data["pred"].dtype == np.int16


def test_missing_weights(bundle: Path, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    inference = workflow(bundle, input=str(scans), output_dir=str(out), ckpt_path=str(tmp_path / "model.pt"))
    inference.initialize()
    with pytest.raises(RuntimeError) as caught:
        inference.run()
    cause = root_cause(caught.value)
    assert isinstance(cause, InputError)
    assert f"bundles/{bundle.name}/configs/train.json" in str(cause)
    assert not out.exists()


def test_nothing_given(bundle: Path) -> None:
    inference = workflow(bundle)
    inference.initialize()
    with pytest.raises(RuntimeError) as caught:
        inference.run()
    assert "input: not set" in str(root_cause(caught.value))


@pytest.mark.slow
def test_command_line(scans: Path, tmp_path: Path) -> None:
    """The user's command, from the root of the repository."""
    bundle = Path(bundle_root("gradprom_mni152"))
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", config(bundle)]
    arguments = ["--input", str(scans), "--output_dir", str(tmp_path / "out")]
    parser = inference_parser(bundle)
    weights = tmp_path / "weights.pt"
    torch.save(parser.get_parsed_content("network_def").state_dict(), weights)
    root = str(bundle.parents[1])
    result = subprocess.run(
        [*command, *arguments, "--ckpt_path", str(weights)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    closing = result.stderr.strip().splitlines()[-1]
    assert closing.startswith("Enhanced 3 images (1 NIfTI, 2 PNG)")
    assert closing.endswith(f"written to {tmp_path / 'out'}")
