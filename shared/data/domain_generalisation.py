"""Testing a model on the images of another data set than the one it was trained on."""

from __future__ import annotations

import importlib
import logging
import os
from typing import Any

from shared.data.splits import check_choice

#: Data sets whose images a model can be tested on: the modules of this package with a ``datalist``.
TEST_DATASETS = ("isic", "covid_ct", "lizard", "camus")

_GROUND_TRUTH = ("mask", "class")
_logger = logging.getLogger("shared.data")


def evaluation_items(
    test_dataset: str, own: str, dataset_dir: str | os.PathLike[str], section: str = "test", **arguments: Any
) -> list[dict[str, Any]]:
    """List the images to test on: the bundle's own test set, or that of another data set (domain generalisation).

    Items of another set come as its ``datalist`` gives them by default, without ``mask`` and ``class``: its classes
    mean something else, so that recognition cannot be judged and the report leaves it out.

    Args:
        test_dataset: one of `TEST_DATASETS`.
        own: the data set that the bundle is made for.
        dataset_dir: folder of ``test_dataset``.
        section: "training", "validation" or "test".
        arguments: for the ``datalist`` of the bundle's own set; they say nothing about another.

    Raises:
        InputError: unknown data set, or what its ``datalist`` raises.
    """
    check_choice("test_dataset", test_dataset, dict.fromkeys((own, *TEST_DATASETS)))
    datalist = importlib.import_module(f"shared.data.{test_dataset}").datalist
    if test_dataset == own:
        return datalist(dataset_dir=dataset_dir, section=section, **arguments)
    _logger.info(
        "testing on '%s' a model made for '%s': only image quality is reported, as the classes are others",
        test_dataset,
        own,
    )
    items = datalist(dataset_dir, section)
    return [{key: value for key, value in item.items() if key not in _GROUND_TRUTH} for item in items]
