from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.bundle.settings import SETTINGS
from shared.data import domain_generalisation as foreign
from shared.data import isic, lizard
from shared.errors import InputError


def test_own_set_is_listed_with_the_bundles_arguments(make_lizard: Callable) -> None:
    root = make_lizard()
    arguments = {"auxiliary": "both", "patch_size": 16, "split": "paper"}
    found = foreign.evaluation_items("lizard", "lizard", root, "test", **arguments)
    assert found == lizard.datalist(root, "test", **arguments)
    assert found != lizard.datalist(root, "test", "both", 16)
    assert {"class", "mask"} <= found[0].keys()


def test_another_set_comes_without_ground_truth(make_isic: Callable, caplog: pytest.LogCaptureFixture) -> None:
    root = make_isic()
    with caplog.at_level(logging.INFO, "shared.data"):
        found = foreign.evaluation_items("isic", "lizard", root, "test", auxiliary="both", patch_size=16)
    own = isic.datalist(root, "test")
    assert "class" in own[0]
    assert found == [{key: item[key] for key in ("id", "group", "label")} for item in own]
    assert "testing on 'isic' a model made for 'lizard'" in caplog.text


def test_patches_of_another_set_keep_their_box(phantom_lizard: Path) -> None:
    found = foreign.evaluation_items("lizard", "isic", phantom_lizard, "test", auxiliary="diagnosis")
    assert len(found) == 16, "one patch of the usual size for each test image of the phantom"
    assert found[0].keys() == {"id", "group", "label", "box"}


def test_unknown_set(make_isic: Callable) -> None:
    with pytest.raises(InputError, match="test_dataset 'lizzard' is unknown; the nearest is 'lizard'"):
        foreign.evaluation_items("lizzard", "isic", make_isic())


def test_setting_and_function_know_the_same_sets() -> None:
    assert tuple(SETTINGS["test_dataset"].values) == foreign.TEST_DATASETS  # type: ignore[union-attr]
