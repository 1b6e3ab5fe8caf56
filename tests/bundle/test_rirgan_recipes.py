"""What the recipes of RIRGAN ask for early, and what they say of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from shared.errors import InputError, root_cause
from tests.bundles.commands import BUNDLES, ROOT

WITH_RECOGNITION = [path for path in BUNDLES if path.name in ("rirgan_mni152", "rirgan_brats")]


def parsed(bundle: Path, *more: Path, **overrides: object) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(file) for file in (bundle / "configs" / "train.json", *more)])
    parser.update({"phantom": True, "profile": "cpu", "dataset_dir": ".", **overrides})
    return parser


@pytest.fixture(params=WITH_RECOGNITION, ids=lambda path: path.name)
def bundle(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_missing_weights_of_vgg19_are_found_before_recognition_networks_learn(bundle: Path) -> None:
    parser = parsed(bundle, perceptual="vgg19", strategy="gradprom")
    order = parser["training"]
    assert order.index("@initial_weights") < order.index("$@pretrain and @pretrain.run()")
    with pytest.raises(RuntimeError, match="perceptual_loss") as caught:
        parser.get_parsed_content("initial_weights")
    error = root_cause(caught.value)
    assert isinstance(error, InputError)
    assert str(error).startswith("vgg19_weights: found no file")


def test_evaluation_says_how_the_weights_were_trained(bundle: Path, tmp_path: Path) -> None:
    """Its own strategy, losses and epochs are those of the configuration, which trained nothing."""
    trained = {"strategy": "joint", "perceptual": "recognition", "pixel_epochs": 3, "adversarial_epochs": 2}
    (tmp_path / "provenance.json").write_text(json.dumps(trained))
    parser = parsed(bundle, bundle / "configs" / "evaluate.json", ckpt_dir=str(tmp_path))
    assert parser.get_parsed_content("origin")["trained"] == trained


@pytest.mark.parametrize(("overlays", "expected"), [
    ([], "GaussianNoise(sigma=0.2)"),
    (["salt"], "SaltAndPepperNoise(probability=0.05, salt_share=1.0)"),
    (["rician"], "RicianNoise(sigma=0.2)"),
])
def test_a_run_says_what_it_is_tested_on(bundle: Path, overlays: list[str], expected: str) -> None:
    files = [ROOT / "shared" / "configs" / f"{name}.json" for name in overlays]
    origin = parsed(bundle, *files, test_sigma=0.2).get_parsed_content("origin")
    assert origin["test_degradations"] == ["BicubicDownsample(factor=4)", expected]
    assert "test_sigma" not in origin
    json.dumps(origin)
