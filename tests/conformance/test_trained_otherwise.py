"""Weights of another scale or other channels than metadata.json says: their package says what holds for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from shared import InputError
from shared.bundle.manifest import Manifest
from shared.bundle.provenance import describe, write_json
from shared.conformance import CHECKS, Result, check_bundle
from shared.conformance.bundle import Bundle
from shared.conformance.data_format import check_format
from shared.networks import SRResNet, weights
from shared.packaging.build import Options, contents
from tests.conformance.conftest import Copy

FORMAT = "network_data_format"
CHECKED = [check for check in CHECKS if check.name in ("metadata", "weights", "format", "in/out", "inference")]
NAMES = {"gradprom_lizard": {"scale": 2}, "gradprom_folder": {"channels": 3}, "rirgan_mni152": {"scale": 2}}
"""Bundles, and how they were trained: neither is what their metadata say."""


def trained(copy: Copy, **settings: int) -> Copy:
    """Give a copy weights as training with other settings than usual leaves them, of a smaller network."""
    copy.change("inference", lambda content: content["network_def"].update(num_blocks=1, features=8))
    models = copy.folder / "models"
    models.mkdir()
    write_json(describe("lizard", False, 0, "cpu", **settings), models / "provenance.json")
    parser = ConfigParser(json.loads((copy.folder / "configs" / "inference.json").read_text()))
    parser["ckpt_path"] = str(models / "model.pt")
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def")
    if isinstance(network, SRResNet):
        torch.nn.init.normal_(network.tail.weight, 0, 0.02)  # else it would be the identity
    weights.save(network.state_dict(), models / "model.pt")
    return copy


@pytest.fixture(params=NAMES)
def bundle(copy: Callable[[str], Copy], request: pytest.FixtureRequest) -> Copy:
    return trained(copy(request.param), **NAMES[request.param])


def metadata_of(files: dict[str, bytes]) -> Any:
    return json.loads(files["configs/metadata.json"])


def check(folder: Path, **options: Any) -> dict[str, Result]:
    return check_bundle(folder, CHECKED, **options)


def failures(results: dict[str, Result]) -> list[str]:
    return [line for result in results.values() for line in result.failures]


def test_bundle_conforms_and_its_package_says_what_holds(bundle: Copy, tmp_path: Path) -> None:
    results = check(bundle.folder)
    assert failures(results) == []
    assert {result.status for result in results.values()} == {"ok"}
    assert results["format"].note == "as trained"
    original = (bundle.folder / "configs" / "metadata.json").read_bytes()
    packaged, plain = contents(bundle.folder, Options())[1], contents(bundle.folder, Options(weights=False))[1]
    assert Bundle(bundle.folder, tmp_path).packaged_metadata == metadata_of(packaged) != json.loads(original)
    assert plain["configs/metadata.json"] == original, "what holds without weights"
    left_out = Options(urls={"models/model.pt": "https://example.org/model.pt"})
    assert metadata_of(contents(bundle.folder, left_out)[1]) == metadata_of(packaged)


def test_scale(copy: Callable[[str], Copy]) -> None:
    lizard = trained(copy("gradprom_lizard"), scale=2)
    before = json.loads((lizard.folder / "configs" / "metadata.json").read_text())
    after = metadata_of(contents(lizard.folder, Options())[1])
    assert after[FORMAT]["outputs"]["pred"].pop("spatial_shape") == ["2*n", "2*n"]
    assert before[FORMAT]["outputs"]["pred"].pop("spatial_shape") == ["4*n", "4*n"]
    assert after == before


def test_channels(copy: Callable[[str], Copy]) -> None:
    colour = trained(copy("gradprom_folder"), channels=3)
    data = metadata_of(contents(colour.folder, Options())[1])[FORMAT]
    for each in (data["inputs"]["image"], data["outputs"]["pred"]):
        assert (each["num_channels"], each["format"]) == (3, "RGB")
        assert each["channel_def"] == {"0": "red", "1": "green", "2": "blue"}
        assert each["spatial_shape"] == ["n", "n"]


def test_wrong_metadata_still_fail(copy: Callable[[str], Copy]) -> None:
    def break_scale(content: Any) -> None:
        content[FORMAT]["outputs"]["pred"]["spatial_shape"] = ["3*n", "3*n"]

    lizard = trained(copy("gradprom_lizard"), scale=2)
    lizard.change("metadata", break_scale)
    (line,) = failures(check(lizard.folder))
    assert "spatial_shape: found ['3*n', '3*n'], which is 27x144 for an image of 9x48, expected 18x96" in line

    def break_channels(content: Any) -> None:
        for side, key in (("inputs", "image"), ("outputs", "pred")):
            content[FORMAT][side][key].update(num_channels=2, channel_def={"0": "a", "1": "b"})

    colour = trained(copy("gradprom_folder"), channels=3)
    colour.change("metadata", break_channels)
    assert "does not take an image of 9x48 of this format" in failures(check(colour.folder))[0]


def test_package_is_judged_by_what_it_says_itself(bundle: Copy, tmp_path: Path) -> None:
    """With the metadata that an earlier version would have given it, a package fails; with its own it does not."""

    def found(name: str, **options: Any) -> Result:
        (tmp_path / name).mkdir()
        return check_format(Bundle(bundle.folder, tmp_path / name, **options))

    packaged = contents(bundle.folder, Options())[1]["configs/metadata.json"]
    (bundle.folder / "package.json").write_bytes(Manifest(bundle.folder.name, "0.2.0", "1", {}).to_bytes())
    assert f"{FORMAT}#" in found("before").failures[0]
    (bundle.folder / "configs" / "metadata.json").write_bytes(packaged)
    assert found("after") == found("random", own_weights=False) == Result("ok")
    (bundle.folder / "models" / "model.pt").unlink()
    assert found("to be downloaded") == Result("ok")


def test_random_weights_are_of_the_usual_network(bundle: Copy) -> None:
    """Whatever was trained there."""
    results = check(bundle.folder, own_weights=False)
    assert failures(results) == []
    assert results["format"].note == ""


def test_network_that_cannot_be_built_is_one_line(copy: Callable[[str], Copy]) -> None:
    lizard = trained(copy("gradprom_lizard"), scale=2)
    path = lizard.folder / "models" / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "scale": 3}))
    with pytest.raises(InputError, match=r"model\.pt: the network that provenance\.json .* upscale_factor must be"):
        contents(lizard.folder, Options())
    shutil.rmtree(lizard.folder / "models")
    assert contents(lizard.folder, Options())
