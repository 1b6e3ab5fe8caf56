"""Checks a bundle's configuration before anything long begins, and keeps a copy of what is run.

MONAI accepts a misspelt override silently, and the command line passes ``--resume false`` as the string 'false'.
There is no hook to check either, so the first entry of a run's list is :func:`check_configuration`, which asks
:mod:`shared.bundle.running` for the ``ConfigWorkflow`` on the call stack.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

from shared import update_rules
from shared.bundle import provenance
from shared.bundle.overlays import OVERLAYS, check_overlays
from shared.bundle.running import Running, find_running
from shared.bundle.settings import SETTINGS
from shared.degradations import BicubicDownsample
from shared.errors import InputError, did_you_mean, nearest, show_errors_last
from shared.networks.discriminator import SMALLEST

WITHOUT_VALIDATION = ("pretraining", "evaluating")
"""Runs of the bundles that do not come to a validation."""

INJECTED = frozenset([*DEFAULT_MLFLOW_SETTINGS["configs"], "displayable_configs"])  # type: ignore[misc]
"""Top-level keys that ``--tracking`` and MONAI Label add."""


def check_configuration(save_as: str | None = None) -> None:
    """Check overrides and settings of the bundle that is being run.

    Does nothing when no bundle is being run. Call it first in a run's list of expressions.

    Args:
        save_as: file for a copy of the configuration with the settings' values.

    Raises:
        InputError: naming the key that is unknown or whose value is outside its range.
    """
    show_errors_last()
    running = find_running()
    if running is None or running.workflow is None:
        return
    parser = running.parser
    check_overlays()
    check_keys(parser.get(), _known_keys(running))
    check_settings(parser)
    check_strategy(parser)
    if running.workflow.run_id not in WITHOUT_VALIDATION:
        check_validation(parser)
    check_enlargement(parser)
    check_discriminator(parser)
    if save_as is not None:
        provenance.write_json(resolved(parser), save_as)


def check_keys(content: Mapping[str, Any], known: Iterable[str]) -> None:
    """Compare the top-level keys of a merged configuration with those its files define.

    Raises:
        InputError: for the first key that no file defines, with the nearest one that this configuration has.
    """
    known = set(known)
    for key in content:
        if key not in known and not key.startswith("_"):
            there = [each for each in content if each in known - INJECTED]
            close = _nested(key, {each: content[each] for each in there}) or nearest(key, there)
            raise InputError(f"override {key!r}: found no such key in the configuration{did_you_mean(close[:1])}")


def check_settings(parser: ConfigParser) -> None:
    """Check the value of every setting of :mod:`shared.bundle.settings` that the configuration has.

    Raises:
        InputError: for the first one outside its range.
    """
    for key in parser.get():
        if key in SETTINGS:
            SETTINGS[key].check(key, parser.get_parsed_content(key))
    if "sigma" in parser.get() and "test_sigma" not in parser.get():
        # One strength serves training, test and the methods that are told it.
        SETTINGS["test_sigma"].check("sigma", parser.get_parsed_content("sigma"))


def check_strategy(parser: ConfigParser) -> None:
    """Find the update rule of the strategy now; it is needed only when the recognition networks have been trained.

    Raises:
        InputError: it needs a package that is not installed.
    """
    if "strategy" in parser.get() and (strategy := parser.get_parsed_content("strategy")) != "none":
        update_rules.get(strategy)


def check_validation(parser: ConfigParser) -> None:
    """Check that a run validates at all: only a validation gives it weights to keep.

    Raises:
        InputError: ``val_interval`` is larger than the number of epochs, with a discriminator and without.
    """
    content = parser.get()
    if {"val_interval", "max_epochs"} <= content.keys():
        keys = [key for key in ("max_epochs", "adversarial_epochs") if key in content]
        interval, epochs = parser.get_parsed_content("val_interval"), sum(map(parser.get_parsed_content, keys))
        if interval > epochs:
            raise InputError(f"val_interval: expected at most {' + '.join(keys)} {epochs}, found {interval}")


def check_enlargement(parser: ConfigParser) -> None:
    """Check that the network enlarges by what the degradations shrink; an overlay may have replaced them.

    Raises:
        InputError: it does not, they refer to a key that there is not, or an image's side is no multiple of the factor.
    """
    content = parser.get()
    network = content.get("network_def")
    if "degradations" not in content or not isinstance(network, Mapping) or "upscale_factor" not in network:
        return
    factor = parser.get_parsed_content("network_def#upscale_factor")
    try:
        degradations = parser.get_parsed_content("degradations")
    except ValueError as err:
        raise InputError(f"degradations: {str(err).rstrip('.')}; they are not for this bundle") from err
    shrunk = math.prod(each.factor for each in degradations if isinstance(each, BicubicDownsample))
    if shrunk != factor:
        names = ", ".join(map(str, degradations)) or "none"
        raise InputError(f"degradations: found {names}, expected some that shrink by {factor}, as the network enlarges")
    for key in ("image_size", "crop_size", "patch_size"):
        if key in content and parser.get_parsed_content(key) % factor:
            raise InputError(f"{key}: expected a multiple of {factor}, found {parser.get_parsed_content(key)}")


def check_discriminator(parser: ConfigParser) -> None:
    """Check that the discriminator can look at the crops; it plays when much of the run is over.

    Raises:
        InputError: ``crop_size`` is smaller than what it takes.
    """
    if {"adversarial_epochs", "crop_size"} <= parser.get().keys() and parser.get_parsed_content("adversarial_epochs"):
        size = parser.get_parsed_content("crop_size")
        if size < SMALLEST:
            raise InputError(f"crop_size: expected at least {SMALLEST}, which a discriminator needs "
                             f"(--adversarial_epochs 0 does without), found {size}")


def resolved(parser: ConfigParser) -> dict[str, Any]:
    """Return the configuration with the values of its settings in place of their expressions."""
    content = json.loads(json.dumps(parser.get(), default=str))
    for key in content:
        if isinstance(parser[key], str | Mapping) and not key.startswith("_") and _is_setting(key, parser):
            content[key] = parser.get_parsed_content(key)
    return content


def _is_setting(key: str, parser: ConfigParser) -> bool:
    return key in SETTINGS or key in ("bundle_root", "dataset_dir", "phantom", "ckpt_dir", "output_dir")


def _nested(key: str, content: Any, id: str = "") -> list[str]:
    """Return the ids that end with a key, as ``gradprom#warmup`` does with ``warmup``."""
    if not isinstance(content, Mapping):
        return []
    found = []
    for name, value in content.items():
        found += [f"{id}{name}"] if id and name == key else []
        found += _nested(key, value, f"{id}{name}#")
    return found


def _known_keys(running: Running) -> set[str]:
    """Return the top-level keys of a configuration's files, and those that MONAI itself adds.

    From Python the files are not known: they are among those of the bundle and the overlays whose keys are all there.
    """
    if running.files:
        files = [_top_level(file) for file in running.files]
    else:
        there = running.parser.get().keys()
        candidates = [*(running.config_root or OVERLAYS).glob("*.json"), *OVERLAYS.glob("*.json")]
        files = [keys for keys in map(_top_level, candidates) if keys <= there]
    return set(INJECTED).union(*files)


def _top_level(file: str | Path) -> set[str]:
    keys = (key.lstrip("+").replace("::", "#").split("#")[0] for key in ConfigParser.load_config_file(file))
    return {key for key in keys if not key.startswith("_")}
