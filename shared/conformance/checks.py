"""All checks, and how they are run over a bundle."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import shared
from shared.bundle.location import is_package
from shared.bundle.opening import METADATA, open_bundle
from shared.conformance.bundle import Bundle
from shared.conformance.data_format import check_format, check_verify_net_in_out
from shared.conformance.exports import check_onnx, check_torch_export, check_torchscript
from shared.conformance.files import check_files
from shared.conformance.identifiers import check_identifiers, check_properties
from shared.conformance.inference import check_inference
from shared.conformance.metadata import check_metadata
from shared.conformance.package_process import check_package
from shared.conformance.result import OK, SKIPPED, Check, Result
from shared.conformance.weights import check_weights
from shared.data.locations import DATA_VARIABLE
from shared.errors import message_of

CHECKS = (
    Check("files", check_files),
    Check("metadata", check_metadata),
    Check("ids", check_identifiers),
    Check("properties", check_properties, needs=("ids",)),
    Check("weights", check_weights),
    Check("format", check_format, needs=("weights",)),
    Check("in/out", check_verify_net_in_out, needs=("weights", "format")),
    Check("TorchScript", check_torchscript, needs=("weights", "format")),
    Check("torch.export", check_torch_export, needs=("weights", "format")),
    Check("ONNX", check_onnx, needs=("weights", "format")),
    Check("inference", check_inference, needs=("weights", "format")),
)


def check_bundle(
    bundle: str | Path,
    checks: Sequence[Check] = CHECKS,
    own_weights: bool = True,
    exports: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Result]:
    """Run checks over one bundle; a package is checked by its own code, in another process.

    Args:
        bundle: its name, its folder, or a package's zip file.
        checks: what to check, in this order.
        own_weights: whether to use ``models/model.pt`` where it exists.
        exports: folder that keeps the exported networks; None to throw them away.
        say: is called with the name of each check before it is run.

    Returns:
        What each check found, by its name; for a package also which code did it.

    Raises:
        InputError: there is no such bundle.
    """
    results: dict[str, Result] = {}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(open_bundle(str(bundle), "BUNDLE", METADATA)).resolve()
        if is_package(folder) and folder != Path(shared.__file__).resolve().parents[1]:
            return check_package(folder, [check.name for check in checks], own_weights, exports, say)
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="check-bundle-")))
        checked = Bundle(folder, work, own_weights, exports)
        for check in checks:
            say(check.name)
            results[check.name] = _run(check, checked, results)
    return results


def _run(check: Check, bundle: Bundle, before: Mapping[str, Result]) -> Result:
    bad = next((name for name in check.needs if name in before and before[name].status != OK), None)
    if bad is not None:
        return Result(SKIPPED, f"needs {bad!r} to be ok")
    began = time.perf_counter()
    try:
        with _quiet(bundle.folder):
            result = check.function(bundle)
    except Exception as err:  # a bundle may raise anything; the other checks go on
        result = Result.of([message_of(err)])
    lines = tuple(line.replace(f"{bundle.folder}/", "").replace(f"{bundle.work}/", "") for line in result.failures)
    return dataclasses.replace(result, failures=lines, seconds=time.perf_counter() - began)


@contextlib.contextmanager
def _quiet(bundle: Path) -> Iterator[None]:
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
