"""Checks that leave no trace in the process: no output, no changed settings."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from shared.data.locations import DATA_VARIABLE


@contextlib.contextmanager
def quiet(bundle: Path) -> Iterator[None]:
    """Keep what MONAI, torch and the bundle print off the terminal, and undo what a workflow changes.

    The bundle's folder is on ``sys.path``, as the Model Zoo has it: a package finds itself there where MONAI's bare
    parser reads it.

    The variable that names real data is taken away, too: whether a bundle conforms does not depend on the data that
    lie on a machine; training configurations are built on phantom data, which are made once without a network.

    Args:
        bundle: its folder.
    """
    path, hook, folder = list(sys.path), sys.excepthook, os.getcwd()
    data, disabled = os.environ.pop(DATA_VARIABLE, None), logging.root.manager.disable
    sys.path.insert(0, str(bundle))
    logging.disable(logging.CRITICAL)
    sink = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        sys.path[:], sys.excepthook = path, hook
        os.chdir(folder)
        if data is not None:
            os.environ[DATA_VARIABLE] = data
