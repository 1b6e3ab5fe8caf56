"""The overlays of scenarios and networks, on top of every bundle that they are meant for."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, verify_net_in_out
from monai.transforms import Compose
from PIL import Image

from shared import update_rules
from shared.bundle import composing
from shared.degradations import GaussianNoise
from shared.errors import InputError, root_cause
from shared.handlers import GradPromHandler
from shared.networks import Enlarge, Restormer, SmallUNet
from shared.recognition.ensemble import PrepareRecognitionBatch
from tests.bundles.commands import BUNDLES, ROOT, SMOKE, TINY
from tests.handlers.reference import System
from tests.networks.test_residual import needs_einops

OVERLAYS = ROOT / "shared" / "configs"
NOISE = {
    "speckle": "SpeckleNoise(sigma={})",
    "rician": "RicianNoise(sigma={})",
    "local_variance": "LocalVarianceNoise(sigma={}, local_vars=[[1.0]])",
    "salt_and_pepper": "SaltAndPepperNoise(probability=0.05, salt_share=0.5)",
    "salt": "SaltAndPepperNoise(probability=0.05, salt_share=1.0)",
    "pepper": "SaltAndPepperNoise(probability=0.05, salt_share=0.0)",
}
"""What an overlay makes of Gaussian noise; the sigma is that of the noise."""
IMPULSES = ("salt_and_pepper", "salt", "pepper")
DEGRADATIONS = ["challenging", "undegraded", *NOISE]
NETWORKS = {"restormer": Restormer, "small_unet": SmallUNet}
ISIC = ROOT / "bundles" / "gradprom_isic"


def parsed(bundle: Path, *names: str, base: str = "train.json") -> ConfigParser:
    files = [bundle / "configs" / base, *(OVERLAYS / f"{name}.json" for name in names)]
    parser = ConfigParser()
    parser.read_config([str(file) for file in files])
    return parser


def content(bundle: Path) -> dict:
    return json.loads((bundle / "configs" / "train.json").read_text())


WITH_NOISE = [bundle for bundle in BUNDLES if "noise" in content(bundle)]
WITH_RECOGNITION = [bundle for bundle in BUNDLES if "recognition" in content(bundle)]
DENOISING = [bundle for bundle in WITH_NOISE if content(bundle)["degradations"] == ["@noise"]]


def test_there_are_such_bundles():
    assert {"gradprom_isic", "gradprom_mni152", "gradprom_folder"} <= {bundle.name for bundle in DENOISING}


@pytest.mark.parametrize("name", [*DEGRADATIONS, *NETWORKS, "recognition_alone"])
def test_overlay_says_what_it_is_for_and_fits_on_lines(name):
    overlay = json.loads((OVERLAYS / f"{name}.json").read_text())
    assert overlay["_desc_"].startswith("Overlay, listed last")
    assert [v for v in overlay.values() if isinstance(v, str) and v.startswith("$") and len(v) > 120] == []


@pytest.mark.parametrize("name", DEGRADATIONS)
@pytest.mark.parametrize("bundle", DENOISING, ids=lambda path: path.name)
def test_degradations_of_the_overlay_are_applied_and_recorded(bundle, name):
    plain, parser = parsed(bundle), parsed(bundle, name)
    for each in (plain, parser):
        each.update({"phantom": True, "dataset_dir": ".", "contents": None, "origin": recorded(each)})
    for section in ("train", "validate"):
        transform = _transforms(parser, section)[-1]
        assert transform["_target_"] == "shared.degradations.Degraded"
        assert transform["degradations"] == "@degradations"
    last = len(_transforms(parser, "validate")) - 1
    degraded = parser.get_parsed_content(f"validate#preprocessing#transforms#{last}")
    clean = torch.rand(1, 64, 64)
    difference = (degraded({"id": "a", "label": clean})["image"] - clean).abs()
    if name == "undegraded":
        assert not difference.any()
    elif name in IMPULSES:
        assert 0.03 < (difference > 0).float().mean() < 0.07
    else:
        assert difference.mean() > 0.01
    origin = parser.get_parsed_content("origin")
    assert origin["degradations"] == [str(d) for d in parser.get_parsed_content("degradations")]
    assert origin["degradations"] != plain.get_parsed_content("origin")["degradations"]
    assert (origin["sigma"] is None) is (name in ("undegraded", *IMPULSES))
    json.dumps(origin)


def recorded(parser: ConfigParser) -> dict:
    """What a run's provenance says of its degradations; the rest of it needs the data set."""
    return {key: parser["origin"][key] for key in ("degradations", "sigma")}


@pytest.mark.parametrize("name", NOISE)
@pytest.mark.parametrize("bundle", WITH_NOISE, ids=lambda path: path.name)
def test_noise_of_the_overlay_takes_the_place_of_the_bundles_own(bundle, name):
    plain, parser = (parsed(bundle, *names).get_parsed_content("degradations") for names in ((), (name,)))
    assert type(plain[-1]) is GaussianNoise
    assert [str(d) for d in parser[:-1]] == [str(d) for d in plain[:-1]]
    sigma = (plain[-1].low, plain[-1].high) if plain[-1].is_range else plain[-1].low
    assert str(parser[-1]) == NOISE[name].format(sigma)


@pytest.mark.parametrize("name", NOISE)
def test_noise_of_the_overlay_is_added_to_smaller_images_too(name):
    parser = parsed(ISIC, name)
    parser["degradations"] = [{"_target_": "shared.degradations.BicubicDownsample", "factor": 4}, "@noise"]
    shrink, noise = parser.get_parsed_content("degradations")
    assert str(shrink) == "BicubicDownsample(factor=4)"
    assert str(noise) == NOISE[name].format(0.3)


@pytest.mark.parametrize(("name", "expected"), [("rician", "RicianNoise(sigma=0.05)"), ("salt", NOISE["salt"])])
def test_noise_of_a_test_is_of_the_same_kind(name, expected):
    parser = parsed(ISIC, name)
    parser.update({"sigma": [0.0, 0.1], "test_sigma": 0.05, "test_noise": "$@noise.with_sigma(@test_sigma)"})
    assert str(parser.get_parsed_content("test_noise")) == expected
    if name == "rician":
        assert str(parser.get_parsed_content("noise")) == "RicianNoise(sigma=(0.0, 0.1))"


def test_gaussian_noise_is_what_it_was_before_it_had_a_key():
    """Pinned: the noise of published results is a function of the seed, the id and this list."""
    assert [str(d) for d in parsed(ISIC).get_parsed_content("degradations")] == ["GaussianNoise(sigma=0.3)"]


def _transforms(parser: ConfigParser, section: str) -> list:
    return parser[f"{section}#preprocessing#transforms"]


@pytest.mark.parametrize("name", ["gradprom_isic", "gradprom_camus"])
def test_geometry_leaves_mask_and_image_on_the_same_pixels(name):
    """MONAI's mode "nearest" would shift the mask by half a pixel of the larger image."""
    parser = parsed(ROOT / "bundles" / name)
    parser["phantom"], parser["dataset_dir"] = True, "."
    geometry = Compose(parser.get_parsed_content("train#preprocessing").transforms[1:-1]).set_random_state(0)
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    disc = (((rows - 60) ** 2 + (columns - 70) ** 2) < 400).float()[None]
    shifts = []
    for _ in range(40):
        item = geometry({"label": disc.clone(), "mask": disc.clone()})
        places = [torch.nonzero(item[key][0] > 0.5).double().mean(0) for key in ("mask", "label")]
        shifts.append(places[0] - places[1])
    assert torch.stack(shifts).mean(0).abs().max() < 0.1


def test_strength_can_still_be_overridden():
    parser = parsed(ISIC, "challenging")
    parser["sigma"] = 0.1
    assert str(parser.get_parsed_content("degradations")[0]) == "GaussianNoise(sigma=0.1)"
    parser = parsed(ISIC, "salt_and_pepper")
    parser["probability"] = 0.2
    assert str(parser.get_parsed_content("noise")) == "SaltAndPepperNoise(probability=0.2, salt_share=0.5)"
    parser = parsed(ISIC, "rician")
    parser["sigma"] = 0.1
    assert str(parser.get_parsed_content("noise")) == "RicianNoise(sigma=0.1)"


@pytest.mark.parametrize("name", [pytest.param("restormer", marks=needs_einops), "small_unet"])
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_network_is_the_same_in_training_and_inference(bundle, name):
    plain = content(bundle)["network_def"]
    states = []
    for base in ("train.json", "inference.json"):
        parser = parsed(bundle, name, base=base)
        for key in ("channels", "scale"):
            if parser.get(key) is not None:
                parser[key] = {"channels": 1, "scale": 2}[key]
        network = parser.get_parsed_content("network_def")
        assert type(network) is NETWORKS[name]
        channels = parser.get_parsed_content("network_def#in_channels")
        assert network(torch.rand(1, channels, 17, 12)).shape[1] == channels
        states.append({key: value.shape for key, value in network.state_dict().items()})
        assert parser["network_def"]["in_channels"] == plain["in_channels"]
    assert states[0] == states[1]


@pytest.mark.parametrize("name", [pytest.param("restormer", marks=needs_einops), "small_unet"])
def test_metadata_still_describe_the_network(name):
    verify_net_in_out(
        "network_def", str(ISIC / "configs" / "metadata.json"), device="cpu", any=17,
        config_file=[str(ISIC / "configs" / "inference.json"), str(OVERLAYS / f"{name}.json")],
    )


def test_users_own_rule_object():
    parser = parsed(ISIC)
    parser["gradprom#rule"] = {"_target_": "shared.update_rules.CosineWeighted"}
    parser["tasks"] = "$[]"
    parser["gradprom#tasks"] = System().tasks
    handler = parser.get_parsed_content("gradprom")
    assert isinstance(handler, GradPromHandler)
    assert type(handler.rule) is update_rules.CosineWeighted


def test_users_own_torchjd_aggregator():
    pytest.importorskip("torchjd")
    parser = parsed(ISIC)
    aggregator = {"_target_": "torchjd.aggregation.GradVac", "beta": 0.1}
    parser["gradprom#rule"] = {"_target_": "shared.torchjd_rules.JacobianRule", "aggregator": aggregator}
    parser["gradprom#tasks"] = System().tasks
    assert repr(parser.get_parsed_content("gradprom").rule) == "JacobianRule(GradVac(beta=0.1, eps=1e-08))"


@pytest.mark.parametrize("bundle", WITH_RECOGNITION, ids=lambda path: path.name)
def test_recognition_alone_replaces_the_loading_of_an_enhancement_network(bundle):
    test = content(bundle)["test"]
    assert list(test["weights"]["files"]) == ["model.pt", "recognition.pt"]
    assert test["handlers"][0] == "@test#weights"
    parser = parsed(bundle, "recognition_alone")
    assert list(parser["test#weights"]["files"]) == ["recognition.pt"]
    assert parser["test#handlers"] == test["handlers"]
    assert parser["pretrain#handlers"][-1]["handler"] == "@validate#weights"
    assert parser["validate#weights#keep"] == "last"
    assert list(parser["validate#weights#files"]) == ["recognition.pt"]
    assert parser["pretrain#images"] == "image"
    assert "@train#trainer" not in json.dumps(parser["training"])
    factor = content(bundle)["network_def"]["upscale_factor"]
    if isinstance(factor, int):
        assert type(parser.get_parsed_content("test#evaluator#network")) is Enlarge


def test_recognition_looks_at_degraded_images_of_the_clean_ones_size():
    small, clean = torch.rand(2, 3, 8, 6), torch.rand(2, 3, 16, 12)
    images, truth = PrepareRecognitionBatch("image")({"image": small, "label": clean, "class": torch.tensor([0, 1])})
    torch.testing.assert_close(images, Enlarge(2)(small))
    assert truth["class"].tolist() == [0, 1]
    images, _ = PrepareRecognitionBatch("image")({"image": clean + 1, "label": clean})
    assert torch.equal(images, clean + 1)


def run(
    folder: Path, names: list[str], *overlays: Path, run_id: str = "training", bundle: Path = ISIC, **overrides
) -> None:
    files = [str(bundle / "configs" / name) for name in names] + [str(o) for o in overlays]
    workflow = ConfigWorkflow(
        config_file=files, workflow_type="train" if run_id == "training" else "infer", run_id=run_id,
        logging_file=False, **overrides,
    )
    try:
        workflow.initialize()
        workflow.run()
    except Exception as err:
        raise root_cause(err) from err
    workflow.finalize()


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_another_network_trains_evaluates_and_enhances(tmp_path):
    """One process; a small UNet, TorchJD's UPGrad, the challenging chain, and an odd image at the end."""
    overlays = [OVERLAYS / "small_unet.json", OVERLAYS / "challenging.json"]
    folders = {"ckpt_dir": str(tmp_path / "models"), "output_dir": str(tmp_path / "eval")}
    run(tmp_path, ["train.json"], SMOKE, *overlays, strategy="upgrad", warmup=0, **folders)
    origin = json.loads((tmp_path / "models" / "provenance.json").read_text())
    assert origin["degradations"][1] == "PoissonNoise(rate=0.1)"
    assert origin["strategy"] == "upgrad"
    last = rows(tmp_path / "eval" / "history.csv")[-1]
    assert -1 <= float(last["diagnosis_cosine"]) <= 1

    again = {**folders, "output_dir": str(tmp_path / "again")}
    run(tmp_path, ["train.json", "evaluate.json"], SMOKE, *overlays, run_id="evaluating", **again)
    assert rows(tmp_path / "again" / "per_image.csv") == rows(tmp_path / "eval" / "per_image.csv")

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (37, 50, 3), dtype=np.uint8)).save(tmp_path / "odd.png")
    run(
        tmp_path, ["inference.json"], OVERLAYS / "small_unet.json", run_id="inferring", input=str(tmp_path / "odd.png"),
        output_dir=str(tmp_path / "clean"), ckpt_path=str(tmp_path / "models" / "model.pt"),
    )
    with Image.open(tmp_path / "clean" / "odd.png") as enhanced:
        assert enhanced.size == (50, 37)
    with pytest.raises(InputError, match="weights of another network"):
        run(
            tmp_path, ["inference.json"], run_id="inferring", input=str(tmp_path / "odd.png"),
            output_dir=str(tmp_path / "x"), ckpt_path=str(tmp_path / "models" / "model.pt"),
        )


@pytest.mark.slow
def test_recognition_alone_trains_and_reports(tmp_path):
    folders = {"ckpt_dir": str(tmp_path / "models"), "output_dir": str(tmp_path / "eval")}
    overlays = [SMOKE, TINY, OVERLAYS / "recognition_alone.json"]
    run(tmp_path, ["train.json"], *overlays, **folders)
    found = {path.name for path in (tmp_path / "models").iterdir()}
    assert found == {"recognition.pt", "provenance.json", "checkpoint.pt"}
    assert json.loads((tmp_path / "models" / "provenance.json").read_text())["strategy"] == "recognition_alone"
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    assert summary["run"]["strategy"] == "recognition_alone"
    table = rows(tmp_path / "eval" / "per_image.csv")
    assert table
    for row in table:
        assert row["psnr_enhanced"] == row["psnr_degraded"]
        assert row["ssim_enhanced"] == row["ssim_degraded"]
    again = {**folders, "output_dir": str(tmp_path / "again")}
    run(tmp_path, ["train.json", "evaluate.json"], *overlays, run_id="evaluating", **again)
    assert rows(tmp_path / "again" / "per_image.csv") == table


def test_pretraining_takes_no_more_images_than_there_are(tmp_path):
    """On phantom data its batch is larger than the run's, if there are images enough."""
    folders = {"ckpt_dir": str(tmp_path / "models"), "output_dir": str(tmp_path / "eval")}
    for data, batch in (("$@train#datalist[:1]", 2), ("$@train#datalist[:4]", 5)):
        with pytest.raises(InputError, match="batch_size: expected at most the number of training images, found"):
            run(tmp_path, ["train.json"], SMOKE, run_id="pretraining", batch_size=batch,
                **{"train#dataset#data": data}, **folders)
    sizes = {}
    for count in (4, 12, 40):
        parser = parsed(ISIC, "smoke")
        parser["phantom"], parser["train#dataset"] = True, list(range(count))
        sizes[count] = parser.get_parsed_content("pretrain#batch_size")
    assert sizes == {4: 2, 12: 6, 40: 8}


@pytest.mark.slow
def test_recipes_without_a_recognition_network_make_a_bundle(tmp_path):
    """As bundles/README.md says under "Add a bundle"."""
    bundle = tmp_path / "plain_mni152"
    bundle.mkdir()
    unfilled = [
        "version", "changelog", "name", "task", "description", "image_classes", "label_classes", "pred_classes"
    ]
    facts = {
        "recipes": ["training", "evaluation", "inference", "metadata", "mni152", "noise", "by_machine"],
        "train.json#sigma": 0.1, "+metadata.json": {key: "some" for key in unfilled},
    }
    (bundle / "facts.json").write_text(json.dumps(facts))
    composing.write(bundle)
    text = (bundle / "configs" / "train.json").read_text()
    assert [word for word in ("pretrain", "recogni", "strategy", "gradprom", "tasks") if word in text] == []
    small = {"bundle": bundle, "network_def#num_blocks": 1, "network_def#features": 8}
    run(tmp_path, ["train.json"], SMOKE, **small)
    assert {path.name for path in (bundle / "models" / "smoke").iterdir()} == {
        "model.pt", "provenance.json", "checkpoint.pt"
    }
    again = {**small, "output_dir": str(tmp_path)}
    run(tmp_path, ["train.json", "evaluate.json"], SMOKE, run_id="evaluating", **again)
    assert rows(tmp_path / "per_image.csv") == rows(bundle / "eval" / "smoke" / "per_image.csv")
    with pytest.raises(InputError, match="recognition_alone.json: pretrain#images: found no 'pretrain'"):
        run(tmp_path, ["train.json"], SMOKE, OVERLAYS / "recognition_alone.json", **small)
