"""Run in isolation by test_isolated.py: several packages in one process, whose folders are the arguments.

The first of them is loaded first, so its code serves all; the last is a copy of one of the others. The working
directory is none of them.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser, create_workflow, load
from PIL import Image

assert importlib.util.find_spec("shared") is None, "the repository is in sight"
folders = [Path(folder) for folder in sys.argv[1:]]
Image.fromarray(np.random.default_rng(0).integers(0, 255, (31, 37), np.uint8)).save("scan.png")


def complaint(function: Callable[[], object]) -> str:
    """What is at the bottom of the error that MONAI raises."""
    try:
        function()
    except RuntimeError as err:
        error: BaseException = err
        while error.__cause__ is not None:
            error = error.__cause__
        return f"{type(error).__name__}: {error}"
    return "nothing was wrong"


def inference(folder: Path):
    config = os.path.relpath(folder / "configs" / "inference.json")
    return create_workflow(config_file=config, workflow_type="inference", input="scan.png")


def side_by_side() -> None:
    for folder in folders:
        weights = folder / "models" / "model.pt"
        if not weights.exists():
            weights.parent.mkdir()
            config = str(folder / "configs" / "train.json")
            torch.save(create_workflow(config_file=config).network_def.state_dict(), weights)
        network = load(folder.name, bundle_dir=folder.parent)
        state = torch.load(weights, weights_only=True)
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    code = Path(sys.modules["shared"].__file__).parents[1]
    assert code == folders[0], code

    workflows = [inference(folder) for folder in folders]
    for workflow, folder in reversed(list(zip(workflows, folders, strict=True))):
        workflow.run()
        workflow.finalize()
        assert workflow.bundle_root == str(folder)
        assert os.listdir(folder / "eval" / "enhanced") == ["scan.png"]
    enhanced = [np.asarray(Image.open(folder / "eval" / "enhanced" / "scan.png")) for folder in folders]
    assert [picture.shape for picture in enhanced] == [(31, 37)] * len(folders)


def as_monai_label_does() -> None:
    """A bare parser, with bundle_root set and the folder on sys.path around each use."""
    sys.path[:] = [path for path in sys.path if Path(path).resolve() not in folders]
    for folder in folders:
        parser = ConfigParser()
        parser.read_config(folder / "configs" / "inference.json")
        parser.config.update({"bundle_root": str(folder)})
        for key in ("network_def", "preprocessing", "inferer", "postprocessing"):
            sys.path.insert(0, str(folder))
            parser.get_parsed_content(key, instantiate=True)
            sys.path.remove(str(folder))
        assert parser.get_parsed_content("ckpt_path") == str(folder / "models" / "model.pt")


def of_another_version() -> None:
    """Says what is wrong, both where the package's own folder is asked for and where it is given."""
    folder = folders[1]
    for file in (folder / "package.json", *(folder / "configs").glob("*.json")):
        version = sys.modules["shared"].__version__
        file.write_text(file.read_text().replace(f'"shared_version": "{version}"', '"shared_version": "0.0.1"'))
    wanted = f"InputError: package {folder}: made with shared 0.0.1, found shared {version}, imported from {folders[0]}"
    found = complaint(lambda: inference(folder))
    assert wanted in found, found
    assert sys.excepthook.__module__ == "shared.errors"
    sys.path.insert(0, str(folder))
    content = json.loads((folder / "configs" / "inference.json").read_text())
    found = complaint(lambda: ConfigParser({**content, "bundle_root": str(folder)}).get_parsed_content("network_def"))
    assert wanted in found, found


side_by_side()
as_monai_label_does()
of_another_version()
