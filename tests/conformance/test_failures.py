"""Each check can fail: a copy of a bundle is broken in one way, and the failure names what was broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from shared import bundle_root
from shared.conformance import CHECKS, check_bundle
from shared.networks import SRResNet
from tests.conformance.conftest import Copy

BY_NAME = {check.name: check for check in CHECKS}


def failure(copy: Copy, check: str) -> str:
    """All that one check says about a broken bundle, which must be a failure."""
    result = check_bundle(copy.folder, [BY_NAME[check]])[check]
    assert result.status == "FAIL"
    assert result.failures
    assert all("\n" not in line and str(copy.folder) + "/" not in line for line in result.failures)
    return "\n".join(result.failures)


def setting(config: str, id: str, value: Any) -> Callable[[Copy], None]:
    """Set a nested key of a configuration; None takes it away."""

    def change(content: Any) -> None:
        *parents, last = id.split("#")
        for parent in parents:
            content = content[int(parent) if isinstance(content, list) else parent]
        if value is None:
            del content[last]
        else:
            content[last] = value

    return lambda copy: copy.change(config, change)


def removed(name: str) -> Callable[[Copy], None]:
    return lambda copy: (copy.folder / name).unlink()


def written(name: str, text: str) -> Callable[[Copy], None]:
    return lambda copy: (copy.folder / name).write_text(text) and None


FORMAT = "network_data_format"
STATIC: dict[str, tuple[str, Callable[[Copy], None], str]] = {
    "no license": ("files", removed("LICENSE"), "LICENSE: found no such file"),
    "no inference.json": ("files", removed("configs/inference.json"), "configs/inference.json: found no such file"),
    "empty README": ("files", written("docs/README.md", " \n"), "docs/README.md: found an empty file"),
    "unreadable list of large files": ("files", written("large_files.yml", "{"), "large_files.yml: found no readable"),
    "large file outside the bundle": (
        "files", written("large_files.json", '{"large_files": [{"path": "../model.pt", "url": "https://a.org/b"}]}'),
        "large_files.json: entry 0: path: found '../model.pt'",
    ),
    "large file without address": (
        "files", written("large_files.yml", "large_files:\n  - path: models/model.pt"),
        "large_files.yml: entry 0: url: found None",
    ),
    "version not in changelog": (
        "metadata", setting("metadata", "version", "9.9.9"),
        "configs/metadata.json: version: found 9.9.9, expected one with an entry in changelog, which has 0.",
    ),
    "version not the newest": ("metadata", setting("metadata", "version", "0.1.0"), "expected the newest of changelog"),
    "version no number": ("metadata", setting("metadata", "version", "new"), "version: found 'new', expected three"),
    "no text in changelog": ("metadata", setting("metadata", "changelog#0.1.0", ""), "changelog#0.1.0: found no text"),
    "no name": ("metadata", setting("metadata", "name", None), "name: found 'nothing'"),
    "no authors": ("metadata", setting("metadata", "authors", None), "authors: found nothing, expected what MONAI's"),
    "text for a number": (
        "metadata", setting("metadata", f"{FORMAT}#inputs#image#num_channels", "one"),
        f'{FORMAT}#inputs#image#num_channels: found "one", expected type integer',
    ),
    "diagnosis": ("metadata", setting("metadata", "intended_use", "Anything"), "'not for diagnostic use'"),
    "another torch": (
        "metadata", setting("metadata", "pytorch_version", "2.0.0"), "pytorch_version: found '2.0.0', expected 2.13.0"
    ),
    "another nibabel": (
        "metadata", setting("metadata", "required_packages_version#nibabel", "1.0"),
        "required_packages_version#nibabel: found '1.0', expected ",
    ),
    "unknown package": (
        "metadata", setting("metadata", "required_packages_version#fastai", "1.0"), "only packages that "
    ),
    "no JSON": ("metadata", written("configs/metadata.json", "{"), "configs/metadata.json: found no JSON"),
    "wrong id of the trainer": (
        "ids", lambda copy: copy.change("train", lambda c: c["train"].update(engine=c["train"].pop("trainer"))),
        "configs/train.json: train#trainer: found no such id",
    ),
    "wrong id of the inferer": (
        "ids", setting("inference", "inferer", None), "configs/inference.json: inferer: found no such id"
    ),
    "key of train.json alone": (
        "ids", setting("inference", "overlap", "@val_interval"),
        "configs/inference.json: overlap: found a reference to 'val_interval', expected an id of this configuration",
    ),
    "overlay refers to nothing": (
        "ids", setting("evaluate", "run", "%evaluate"), "configs/evaluate.json: run: found a reference to 'evaluate'"
    ),
    "folder of another bundle": (
        "ids", setting("inference", "bundle_root", bundle_root("gradprom_isic")),
        "configs/inference.json: bundle_root: found ",
    ),
    "property under another id": (
        "properties", lambda copy: copy.change("train", lambda c: c["train"].update(
            steps=c["train"]["preprocessing"], dataset={**c["train"]["dataset"], "transform": "@train#steps"})),
        "configs/train.json: property 'train_preprocessing': found nothing or another id",
    ),
    "trainer that cannot be built": (
        "properties", setting("train", "train#trainer#max_epoch", 3), "configs/train.json: check_properties: "
    ),
    "network that cannot be built": (
        "weights", setting("inference", "network_def#upscale_factor", 3),
        "configs/inference.json: network_def: cannot be built: SRResNet: upscale_factor must be one of",
    ),
    "wrong channels in": (
        "format", lambda copy: copy.change("metadata", lambda c: c[FORMAT]["inputs"]["image"].update(
            num_channels=2, channel_def={"0": "a", "1": "b"})),
        "network_def does not take an image of 9x48 of this format: RuntimeError: ",
    ),
    "wrong channels out": (
        "format", lambda copy: copy.change("metadata", lambda c: c[FORMAT]["outputs"]["pred"].update(
            num_channels=2, channel_def={"0": "a", "1": "b"})),
        f"{FORMAT}#outputs#pred#num_channels: found 2, expected 1, what network_def gives",
    ),
    "another input": (
        "format", lambda copy: copy.change("metadata", lambda c: c[FORMAT]["inputs"].update(label={})),
        f"{FORMAT}#inputs: found image, label, expected image alone",
    ),
    "unnamed channel": (
        "format", setting("metadata", f"{FORMAT}#inputs#image#channel_def", {}),
        f"{FORMAT}#inputs#image#channel_def: found [], expected a name for each of 1 channels",
    ),
    "wrong scale": (
        "format", setting("metadata", f"{FORMAT}#outputs#pred#spatial_shape", ["2*n", "2*n"]),
        f"{FORMAT}#outputs#pred#spatial_shape: found ['2*n', '2*n'], which is 18x96 for an image of 9x48, expected ",
    ),
    "scale left open": (
        "format", setting("metadata", f"{FORMAT}#outputs#pred#spatial_shape", ["*", "*"]), "leaves open how large"
    ),
    "no pattern": (
        "format", setting("metadata", f"{FORMAT}#inputs#image#spatial_shape", ["m", "n"]), "spatial_shape: found 'm'"
    ),
    "wrong type": (
        "format", setting("metadata", f"{FORMAT}#outputs#pred#dtype", "float64"),
        f"{FORMAT}#outputs#pred#dtype: found float64, expected float32",
    ),
    "unknown type": ("format", setting("metadata", f"{FORMAT}#inputs#image#dtype", "real"), "#dtype: found 'real'"),
    "wrong range": (
        "format", lambda copy: copy.change("metadata", lambda c: [
            c[FORMAT]["inputs"]["image"].update(value_range=[0, 255]),
            c[FORMAT]["outputs"]["pred"].update(value_range=[0, 255])]),
        f"{FORMAT}#inputs#image#value_range: found [0, 255], expected [0, 1], what preprocessing makes",
    ),
    "ranges differ": (
        "format", setting("metadata", f"{FORMAT}#outputs#pred#value_range", [-1, 1]),
        f"{FORMAT}#outputs#pred#value_range: found [-1, 1], expected [0, 1] as of inputs#image",
    ),
    "MONAI's check": (
        "in/out", setting("metadata", f"{FORMAT}#outputs#pred#num_channels", 2),
        "verify_net_in_out with n=1: ValueError: output channel number `1` doesn't match: `2`",
    ),
    "inference with a key of train.json alone": (
        "inference", setting("inference", "overlap", "@val_interval"),
        "configs/inference.json: cannot be run by itself: ",
    ),
    "inference without a writer": (
        "inference", setting("inference", "postprocessing#transforms", []),
        "configs/inference.json: image.png: found no result",
    ),
}


@pytest.mark.parametrize("case", STATIC)
def test_broken_bundle(mni152: Copy, case: str) -> None:
    check, damage, expected = STATIC[case]
    damage(mni152)
    assert expected in failure(mni152, check)


def test_name_of_the_folder(mni152: Copy) -> None:
    mni152.folder = mni152.folder.rename(mni152.folder.with_name("GradProm-MNI152"))
    assert "expected lower-case words" in failure(mni152, "files")


def test_scale_of_super_resolution(copy: Callable[[str], Copy]) -> None:
    lizard = copy("gradprom_lizard")
    setting("metadata", f"{FORMAT}#outputs#pred#spatial_shape", ["2*n", "2*n"])(lizard)
    assert "which is 18x96 for an image of 9x48, expected 36x192, what network_def gives" in failure(lizard, "format")


def state_of(copy: Copy) -> dict[str, torch.Tensor]:
    return torch.load(copy.folder / "models" / "model.pt", weights_only=True)


def other_network(copy: Copy) -> None:
    torch.save(SRResNet(1, 1, 2, 8, 1, "none").state_dict(), copy.folder / "models" / "model.pt")


def without_key(copy: Copy) -> None:
    state = state_of(copy)
    del state["tail.bias"]
    torch.save(state, copy.folder / "models" / "model.pt")


def with_another_key(copy: Copy) -> None:
    torch.save({**state_of(copy), "more.weight": torch.zeros(1)}, copy.folder / "models" / "model.pt")


def not_finite(copy: Copy) -> None:
    state = state_of(copy)
    state["tail.bias"][:] = torch.nan
    torch.save(state, copy.folder / "models" / "model.pt")


def damaged(copy: Copy) -> None:
    path = copy.folder / "models" / "model.pt"
    path.write_bytes(path.read_bytes()[:-500])


def phantom(copy: Copy) -> None:
    path = copy.folder / "models" / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "phantom": True}))


WEIGHTS: dict[str, tuple[Callable[[Copy], None], str]] = {
    "another network": (other_network, "models/model.pt: weights of another network: found 'head.0.weight' of"),
    "missing key": (without_key, "models/model.pt: weights of another network: found no 'tail.bias'"),
    "unknown key": (with_another_key, "models/model.pt: weights of another network: found 'more.weight'"),
    "not finite": (not_finite, "models/model.pt: tail.bias: found values that are not finite"),
    "damaged file": (damaged, "models/model.pt: found no readable PyTorch state"),
    "phantom data": (phantom, "models/provenance.json: phantom: found True, expected false"),
    "no provenance": (removed("models/provenance.json"), "models/provenance.json: found no such file"),
    "provenance is no JSON": (written("models/provenance.json", "["), "models/provenance.json: found no JSON"),
    "provenance says nothing": (written("models/provenance.json", "{}"), "models/provenance.json: data: found nothing"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_wrong_weights(mni152: Copy, case: str) -> None:
    damage, expected = WEIGHTS[case]
    mni152.add_weights()
    damage(mni152)
    assert expected in failure(mni152, "weights")


def test_trained_network_leaves_its_range(mni152: Copy) -> None:
    mni152.add_weights()
    state = state_of(mni152)
    state["tail.bias"] += 2
    torch.save(state, mni152.folder / "models" / "model.pt")
    assert f"{FORMAT}#outputs#pred#value_range: found [0, 1], expected [" in failure(mni152, "format")


def test_checks_after_a_failure_are_skipped_with_a_reason(mni152: Copy) -> None:
    mni152.add_weights()
    damaged(mni152)
    results = check_bundle(mni152.folder, [BY_NAME[name] for name in ("weights", "format", "ONNX")])
    assert [result.status for result in results.values()] == ["FAIL", "skipped", "skipped"]
    assert results["ONNX"].note == "needs 'weights' to be ok"


def test_an_error_of_a_check_is_a_failure_of_the_bundle(mni152: Copy) -> None:
    shutil.rmtree(mni152.folder / "configs")
    (mni152.folder / "configs").mkdir()
    (mni152.folder / "configs" / "metadata.json").write_text("{}")
    results = check_bundle(mni152.folder)
    assert {result.status for result in results.values()} == {"FAIL", "skipped"}
    assert "configs/inference.json cannot be read" in results["weights"].failures[0]


def test_phantom_data_are_used_whatever_lies_on_the_machine(
    mni152: Copy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MONAI_DATA_DIRECTORY", str(tmp_path / "nowhere"))
    assert check_bundle(mni152.folder, [BY_NAME["properties"]])["properties"].failures == ()
    assert check_bundle("gradprom_folder", [BY_NAME["properties"]], own_weights=False)["properties"].failures == ()
