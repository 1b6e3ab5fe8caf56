"""Which folder a configuration takes for its bundle: the one that is run, wherever it lies and whatever its name."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, create_workflow, load, run, verify_net_in_out
from PIL import Image

from shared import bundle_root
from shared.bundle.running import find_running, running_folder
from shared.enhance.__main__ import main
from shared.errors import InputError, message_of
from tests.bundles.commands import SMOKE, TINY

REPOSITORY = Path(bundle_root("gradprom_mni152"))


@pytest.fixture(autouse=True)
def _unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run adds to ``sys.path`` and replaces the hook for errors."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


def copied(folder: Path, source: Path = REPOSITORY, value: float | None = None) -> Path:
    """A copy of a bundle; with weights that add a value to every pixel, or without any."""
    shutil.copytree(source / "configs", folder / "configs")
    if value is not None:
        write_weights(folder, value)
    return folder


def write_weights(folder: Path, value: float) -> None:
    parser = ConfigParser(ConfigParser.load_config_file(folder / "configs" / "inference.json"))
    parser["bundle_root"] = str(folder)
    network = parser.get_parsed_content("network_def")
    state = {name: torch.zeros_like(each) for name, each in network.state_dict().items()}
    state["tail.bias"] += value
    (folder / "models").mkdir(exist_ok=True)
    torch.save(state, folder / "models" / "model.pt")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return copied(tmp_path / "somewhere" / "my own", value=0.25)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    pixels = np.full((16, 20), 100, np.uint8)
    pixels[0, 0], pixels[0, 1] = 0, 250
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    return tmp_path / "scan.png"


def inference(bundle: Path, *overlays: Path, **overrides: Any) -> ConfigWorkflow:
    """From Python, not yet initialised."""
    files = [str(bundle / "configs" / "inference.json"), *map(str, overlays)]
    return ConfigWorkflow(files, logging_file=False, workflow_type="infer", **overrides)


def by_command(bundle: Path, **options: Any) -> None:
    run(config_file=str(bundle / "configs" / "inference.json"), **options)


def by_relative_path(bundle: Path, **options: Any) -> None:
    run(config_file=os.path.relpath(bundle / "configs" / "inference.json"), **options)


def by_name_alone(bundle: Path, **options: Any) -> None:
    os.chdir(bundle / "configs")
    run(config_file="inference.json", **options)


def with_an_overlay_from_elsewhere(bundle: Path, **options: Any) -> None:
    overlay = bundle.parent / "overlay" / "configs" / "mine.json"
    overlay.parent.mkdir(parents=True, exist_ok=True)
    overlay.write_text('{"overlap": 0.5}')
    run(config_file=[str(bundle / "configs" / "inference.json"), str(overlay)], **options)


def by_arguments_in_a_file(bundle: Path, **options: Any) -> None:
    arguments = bundle.parent / "arguments.json"
    arguments.write_text(json.dumps({"config_file": str(bundle / "configs" / "inference.json"), **options}))
    run(args_file=str(arguments))


def by_create_workflow(bundle: Path, **options: Any) -> None:
    create_workflow(config_file=str(bundle / "configs" / "inference.json"), workflow_type="infer", **options).run()


def by_a_workflow_from_python(bundle: Path, **options: Any) -> None:
    workflow = inference(bundle, **options)
    workflow.initialize()
    workflow.run()


def by_a_linked_folder(bundle: Path, **options: Any) -> None:
    if not (link := bundle.parent / "link").exists():
        link.symlink_to(bundle)
    by_command(link, **options)


def by_enhance(bundle: Path, input: str, output_dir: str) -> None:
    error = main(["--bundle", str(bundle), "--input", input, "--output", output_dir, "--device", "cpu"])
    if error:
        raise RuntimeError(error)


WAYS = [
    by_command, by_relative_path, by_name_alone, with_an_overlay_from_elsewhere, by_arguments_in_a_file,
    by_create_workflow, by_a_workflow_from_python, by_a_linked_folder, by_enhance,
]


@pytest.mark.parametrize("way", WAYS)
def test_weights_are_those_of_the_folder_that_is_run(
    way: Callable[..., None], copy: Path, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"input": str(scan), "output_dir": str(tmp_path / "clean")}
    way(copy, **options)
    with Image.open(tmp_path / "clean" / "scan.png") as enhanced:
        assert np.asarray(enhanced)[5, 5] == 100 + 64, "what the copy's weights add"

    (copy / "models" / "model.pt").unlink()
    capfd.readouterr()
    with pytest.raises(RuntimeError) as caught:
        way(copy, **options)
    message = capfd.readouterr().err if way is by_enhance else message_of(caught.value)
    link = copy.parent / "link"
    assert "models/model.pt: no such file" in message
    assert str(REPOSITORY) not in message
    file = shlex.split(message.partition("monai.bundle run training --config_file ")[2])[0]
    assert Path.cwd() / file == (link if way is by_a_linked_folder else copy) / "configs" / "train.json"


def test_results_lie_in_the_folder_that_is_run(copy: Path, scan: Path) -> None:
    by_a_workflow_from_python(copy, input=str(scan))
    assert [path.name for path in (copy / "eval" / "enhanced").iterdir()] == ["scan.png"]


def test_training_writes_into_the_folder_that_is_run(tmp_path: Path) -> None:
    folder = copied(tmp_path / "copy", Path(bundle_root("gradprom_isic")))
    shutil.copytree(folder, tmp_path / "untouched")
    files = [str(folder / "configs" / "train.json"), str(SMOKE), str(TINY)]
    before = sorted(Path(bundle_root("gradprom_isic")).rglob("*"))
    options = {"max_epochs": 1, "pretrain_epochs": 1, "strategy": "none"}
    workflow = ConfigWorkflow(files, logging_file=False, run_id="training", **options)
    workflow.initialize()
    workflow.run()
    assert (folder / "models" / "smoke" / "model.pt").is_file()
    assert (folder / "eval" / "smoke" / "summary.json").is_file()
    assert json.loads((folder / "eval" / "smoke" / "config.json").read_text())["bundle_root"] == str(folder)
    assert sorted(Path(bundle_root("gradprom_isic")).rglob("*")) == before


def test_load_takes_the_folders_own_weights(copy: Path) -> None:
    network = load(copy.name, bundle_dir=copy.parent, workflow_type="inference")
    assert network.state_dict()["tail.bias"].tolist() == [0.25]


def test_copies_in_one_process_keep_apart(tmp_path: Path, scan: Path) -> None:
    folders = [copied(tmp_path / name, value=value) for name, value in (("first", 0.1), ("second", 0.2))]
    workflows = [inference(folder, input=str(scan)) for folder in folders]
    for workflow in workflows:
        workflow.initialize()
    for workflow, folder in reversed(list(zip(workflows, folders, strict=True))):
        workflow.run()
        assert workflow.bundle_root == str(folder)
        assert workflow.network_def.state_dict()["tail.bias"] == torch.load(folder / "models/model.pt")["tail.bias"]
    assert bundle_root("gradprom_mni152") == str(REPOSITORY)


def test_functions_of_monai_that_read_a_bundle_without_a_workflow(tmp_path: Path) -> None:
    """What a copy was trained for stands in its own provenance.json: a network that enlarges by 2."""
    folder = copied(tmp_path / "copy", Path(bundle_root("gradprom_lizard")))
    (folder / "models").mkdir()
    (folder / "models" / "provenance.json").write_text('{"scale": 2}')
    write_weights(folder, 0)
    files = {"config_file": str(folder / "configs/inference.json"), "meta_file": str(folder / "configs/metadata.json")}
    path = tmp_path / "model.ts"
    ckpt_export("network_def", str(path), ckpt_file=str(folder / "models" / "model.pt"), **files)
    assert torch.jit.load(str(path))(torch.zeros(1, 3, 8, 9)).shape == (1, 3, 16, 18)
    arguments = tmp_path / "arguments.json"
    arguments.write_text(json.dumps({"net_id": "network_def", "device": "cpu", **files}))
    verify_net_in_out(args_file=str(arguments), any=16)
    (folder / "models" / "provenance.json").write_text('{"scale": 3}')
    with pytest.raises(RuntimeError) as caught:
        verify_net_in_out(args_file=str(arguments), any=16)
    assert "upscale_factor" in message_of(caught.value)


class Application:
    """Holds a workflow where no variable of a function does."""

    def __init__(self, bundle: Path) -> None:
        self.workflow = inference(bundle)
        self.workflow.initialize()

    def ckpt_path(self) -> str:
        return self.workflow.parser.get_parsed_content("ckpt_path")


def test_parser_of_a_workflow_knows_its_folder_without_it(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = str(copy / "models" / "model.pt")
    workflow = inference(copy)
    assert workflow.parser.get_parsed_content("ckpt_path") == expected, "not initialised"
    assert Application(copy).ckpt_path() == expected

    monkeypatch.chdir(copy)
    workflow = inference(Path())
    workflow.initialize()
    monkeypatch.chdir(tmp_path)
    parser = workflow.parser
    del workflow
    assert parser.get_parsed_content("ckpt_path") == expected
    parser["plane"] = "sagittal"  # MONAI forgets what it has evaluated
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(parser.get_parsed_content("ckpt_path")))
    thread.start()
    thread.join()
    assert found == [expected]


def test_folder_that_can_no_longer_be_told_is_an_error(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy)
    workflow = inference(Path())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError) as caught:
        workflow.initialize()
    assert message_of(caught.value).startswith("bundle_root: the configuration was read from configs, and there is no")


def test_linked_configurations_in_a_folder_of_its_own(tmp_path: Path) -> None:
    """Another's configurations, own weights: the bundle is where the link lies."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "configs").symlink_to(REPOSITORY / "configs")
    assert created(tmp_path / "mine").bundle_root == str(tmp_path / "mine")
    (tmp_path / "link").symlink_to(copied(tmp_path / "deep" / "copy"))
    assert created(tmp_path / "link").bundle_root == str(tmp_path / "link")
    assert created(tmp_path / "link" / ".." / "copy").bundle_root == str(tmp_path / "deep" / "copy")


def created(bundle: Path) -> ConfigWorkflow:
    workflow = inference(bundle)
    workflow.initialize()
    return workflow


def test_name_decides_where_no_file_is_known(copy: Path) -> None:
    content = ConfigParser.load_config_file(copy / "configs" / "inference.json")
    assert ConfigParser(content).get_parsed_content("bundle_root") == str(REPOSITORY)
    assert find_running() is None
    assert running_folder("gradprom_mni152") is None


def test_another_bundle_is_found_by_its_name_in_the_middle_of_a_run(copy: Path) -> None:
    other = {"_target_": "shared.bundle_root", "name": "gradprom_isic"}
    plain = ConfigParser.load_config_file(REPOSITORY / "configs" / "inference.json")
    workflow = inference(copy, ckpt_path=other, other="$@parsed.get_parsed_content('bundle_root')", parsed=None)
    workflow.parser["parsed"] = ConfigParser(plain)
    workflow.initialize()
    assert workflow.parser.get_parsed_content("ckpt_path") == bundle_root("gradprom_isic")
    assert workflow.parser.get_parsed_content("other") == str(REPOSITORY), "by a parser of its own"
    assert workflow.bundle_root == str(copy)


def test_file_in_no_folder_of_configurations(tmp_path: Path) -> None:
    """MONAI takes metadata.json from beside the first file."""
    shutil.copytree(REPOSITORY / "configs", tmp_path / "flat")
    workflow = ConfigWorkflow(str(tmp_path / "flat" / "inference.json"), logging_file=False, workflow_type="infer")
    workflow.initialize()
    assert workflow.bundle_root == str(tmp_path / "flat")


def test_overlay_in_the_first_place_is_an_error(copy: Path) -> None:
    files = [str(SMOKE), str(copy / "configs" / "train.json")]
    with pytest.raises(RuntimeError) as caught:
        create_workflow(config_file=files)
    assert message_of(caught.value).startswith(f"config_file: found an overlay of {SMOKE.parent} listed first")
    assert sys.excepthook.__module__ == "shared.errors", "the message is the last line on the terminal"


def test_hook_for_errors_stays_where_no_configuration_asks() -> None:
    hook = sys.excepthook
    with pytest.raises(InputError, match="no folder"):
        bundle_root("gradprom_isik")
    assert sys.excepthook is hook
