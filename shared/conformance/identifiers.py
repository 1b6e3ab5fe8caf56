"""The fixed ids of MONAI's workflows in train, evaluate and inference configurations, and what refers to what."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow, ReferenceResolver
from monai.bundle.properties import InferProperties, TrainProperties
from monai.utils import BundleProperty, BundlePropertyConfig

import shared
from shared.bundle.reading import start_workflow
from shared.conformance.bundle import Bundle
from shared.conformance.result import Result
from shared.errors import message_of

WORKFLOWS: dict[tuple[str, ...], str] = {
    ("train",): "train",
    ("train", "evaluate"): "train",
    ("inference",): "infer",
}
"""Configurations that are run together, in their order, and the kind of MONAI's workflow that they are."""
TRAINING_IDS = (
    "output_dir", "network_def", "val_interval", "train#dataset#data", "train#preprocessing", "train#handlers",
    "validate#evaluator", "validate#dataset", "validate#dataset#data", "validate#handlers", "validate#inferer",
    "validate#preprocessing", "validate#postprocessing", "validate#key_metric", "run",
)
INFERENCE_IDS = ("output_dir", "dataset#data", "handlers", "preprocessing", "postprocessing", "run")
"""What MONAI leaves optional, and the Model Zoo or MONAI Label, Deploy and FL ask for."""


def check_identifiers(bundle: Bundle) -> Result:
    """MONAI's required ids, the Model Zoo's, and no reference to an id that is not there.

    ``bundle_root`` must also be the folder itself, whatever it is called: a bundle that was copied would read another's
    files.
    """
    failures: dict[str, str] = {}
    for names, kind in WORKFLOWS.items():
        parser = bundle.parser(*names)
        required, optional = (
            (TrainProperties, TRAINING_IDS) if kind == "train" else (InferProperties, INFERENCE_IDS)
        )
        expected = dict.fromkeys([*_required(required), *optional])
        lines = [f"{id}: found no such id, expected one of MONAI's {kind} workflow"
                 for id in expected if id not in parser]
        lines += [*_dangling(parser), *_root_failures(bundle, names[0], kind)]
        # What is wrong with train.json is wrong with its overlay, too: it is said of train.json alone.
        failures = {**{line: f"configs/{names[-1]}.json: {line}" for line in lines}, **failures}
    return Result.of(list(failures.values()))


def check_properties(bundle: Bundle) -> Result:
    """``ConfigWorkflow.check_properties()`` of training, of evaluation (an overlay on training) and of inference.

    It builds what the required ids name: trainer, data sets (phantom data for training), evaluator, network.
    """
    failures = []
    overrides = {"ckpt_dir": str(bundle.work / "models"), "output_dir": str(bundle.work / "eval")}
    overrides["device"] = "$torch.device('cpu')"
    for names, kind in WORKFLOWS.items():
        known = {key: value for key, value in {**bundle.overrides, **overrides}.items() if key in bundle.parser(*names)}
        if kind == "train":
            known.pop("ckpt_path", None)  # there it is what a training run continues from
        where = f"configs/{names[-1]}.json"
        try:
            workflow = start_workflow(bundle.folder, *names, kind=kind, metadata=bundle.path("metadata"), **known)
            wrong = workflow.check_properties()
        except Exception as err:  # MONAI instantiates anything, which raises anything
            failures.append(f"{where}: check_properties: {message_of(err)}")
            continue
        failures += [f"{where}: property {name!r}: found nothing or another id than MONAI's" for name in wrong or []]
    return Result.of(list(dict.fromkeys(failures)))


def _required(properties: Mapping[str, Any]) -> Iterable[str]:
    required = (entry for entry in properties.values() if entry[BundleProperty.REQUIRED])
    return (entry[BundlePropertyConfig.ID].replace("::", "#") for entry in required)


def _dangling(parser: ConfigParser) -> Iterable[str]:
    """One line for each reference to an id that the configuration has not."""
    content = {key: value for key, value in parser.get().items() if not key.startswith("_")}
    for id, value in _leaves(content, ""):
        for reference in ReferenceResolver.match_refs_pattern(value):
            if reference not in parser:
                name = reference.replace("::", "#")
                yield f"{id}: found a reference to {name!r}, expected an id of this configuration"


def _leaves(value: Any, id: str) -> Iterable[tuple[str, str]]:
    """All texts of a configuration with their ids; remarks (`_desc_`) are no part of it."""
    if isinstance(value, str):
        # A macro refers to an id, too, and to a file where a name stands before "::".
        yield id, f"@{value[1:]}" if value.startswith("%") and "::" not in value else value
    elif isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if key != "_desc_":
                yield from _leaves(item, f"{id}#{key}".lstrip("#"))


def _root_failures(bundle: Bundle, name: str, kind: str) -> list[str]:
    """Whether ``bundle_root``, as it is written, is the folder, for who stands in it."""
    if "bundle_root" not in bundle.config(name):
        return []
    with contextlib.chdir(bundle.folder):
        try:
            workflow = ConfigWorkflow(str(bundle.path(name)), logging_file=False, workflow_type=kind)
            parsers = [workflow.parser]
            if bundle.is_package or _is_in_repository(bundle):
                # One that belongs to no workflow has only the name to go by.
                parsers.append(ConfigParser(bundle.config(name)))
            found = [parser.get_parsed_content("bundle_root") for parser in parsers]
        except Exception as err:  # MONAI evaluates anything, which raises anything
            return [f"bundle_root: {message_of(err)}"]
        other = [each for each in found if not _is_same(bundle.folder, each)]
    return [f"bundle_root: found {other[0]!r}, expected {bundle.folder}"] if other else []


def _is_in_repository(bundle: Bundle) -> bool:
    return bundle.name in shared.bundle_names() and _is_same(bundle.folder, shared.bundle_root(bundle.name))


def _is_same(folder: Path, found: Any) -> bool:
    try:
        return folder.samefile(found)
    except (OSError, TypeError):
        return False
