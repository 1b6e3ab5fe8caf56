"""Folders of finished runs, made by hand: real components, tiny, with weights that no training has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser

SIZE = 32


def items(dataset_dir: str, count: int = 5, channels: int = 3) -> list[dict[str, Any]]:
    """What a datalist gives, but with arrays for paths."""
    random = np.random.default_rng(len(dataset_dir))
    found = []
    for index in range(count):
        clean = np.clip(0.5 + 0.1 * random.standard_normal((channels, SIZE, SIZE)), 0, 1).astype(np.float32)
        mask = np.zeros((1, SIZE, SIZE), np.float32)
        mask[:, 8:20, 8:24] = 1
        item = {"id": f"image {index}", "label": torch.from_numpy(clean), "mask": torch.from_numpy(mask)}
        found.append({**item, "class": index % 3})
    return found


def configuration(**changes: Any) -> dict[str, Any]:
    """The keys of a run's config.json that matter here, in the form the bundles have."""
    head = {
        "ckpt_dir": "gone/models",
        "output_dir": "gone/eval",
        "dataset_dir": "some data",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "strategy": "gradprom",
        "auxiliary": "both",
        "seed": 0,
        "scale": 1,
        "imagenet_weights": "gone/resnet.pth",
        "orientation": "xy",
    }
    return {
        **head,
        "network_def": {
            "_target_": "shared.networks.SRResNet",
            "in_channels": 3, "out_channels": 3, "num_blocks": 1, "features": 4, "upscale_factor": "@scale",
        },
        "network": "$@network_def.to(@device)",
        "recognition_def": {
            "diagnosis": {
                "_target_": "monai.networks.nets.ResNet", "_mode_": "callable", "block": "basic",
                "layers": [1, 1, 1, 1], "block_inplanes": [4, 4, 8, 8], "spatial_dims": 2, "n_input_channels": 3,
                "conv1_t_stride": 2, "num_classes": 3, "bias_downsample": False,
            },
            "segmentation": {
                "_target_": "monai.networks.nets.UNet", "_mode_": "callable", "spatial_dims": 2, "in_channels": 3,
                "out_channels": 2, "channels": [4, 8], "strides": [2],
            },
        },
        "tasks": {
            "_target_": "shared.recognition.tasks.build_tasks", "networks": "@recognition_def",
            "auxiliary": "@auxiliary",
            "strategy": "@strategy", "device": "@device", "imagenet_weights": "@imagenet_weights",
        },
        "validate": {
            "preprocessing": {
                "_target_": "shared.degradations.Degraded", "keys": "label", "output_keys": "image", "seed": "@seed",
                "degradations": [{"_target_": "shared.degradations.GaussianNoise", "sigma": 0.2}],
            },
            "inferer": {"_target_": "SimpleInferer"},
        },
        "test": {
            "datalist": {"_target_": "tests.reproduction.trained_run_folders.items", "dataset_dir": "@dataset_dir"},
            "dataset": {"_target_": "Dataset", "data": "@test#datalist", "transform": "@validate#preprocessing"},
            "handlers": [
                {"_target_": "shared.handlers.LoadWeights", "folder": "@ckpt_dir", "files": {}},
                {"_target_": "shared.reporting.EnhancementReport", "output_dir": "@output_dir",
                 "orientation": "@orientation"},
            ],
        },
        **changes,
    }


def make_run(folder: Path, phantom: bool = True, weights_seed: int = 0, **changes: Any) -> Path:
    """Write a run's folder; `changes` are keys of its configuration."""
    config = configuration(**changes)
    (folder / "eval").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "eval" / "config.json").write_text(json.dumps(config))
    (folder / "models" / "provenance.json").write_text(json.dumps({"data": "isic", "phantom": phantom}))
    torch.manual_seed(weights_seed)
    parser = ConfigParser({**config, "imagenet_weights": None})
    network = parser.get_parsed_content("network")
    torch.nn.init.normal_(network.tail.weight, std=0.01)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    states = {task.name: task.network.state_dict() for task in parser.get_parsed_content("tasks")}
    torch.save(states, folder / "models" / "recognition.pt")
    return folder
