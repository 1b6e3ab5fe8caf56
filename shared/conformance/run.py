"""All checks over bundles."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import shared
from shared.bundle.archive import open_package
from shared.bundle.location import is_package
from shared.conformance.bundle import Bundle
from shared.conformance.data_format import check_format, check_verify_net_in_out
from shared.conformance.exports import check_onnx, check_torch_export, check_torchscript
from shared.conformance.files import check_files
from shared.conformance.identifiers import check_identifiers, check_properties
from shared.conformance.inference import check_inference
from shared.conformance.metadata import check_metadata
from shared.conformance.package_process import check_package
from shared.conformance.quiet import quiet
from shared.conformance.result import OK, SKIPPED, Check, Result
from shared.conformance.weights import check_weights
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


@contextmanager
def bundle_folder(bundle: str) -> Iterator[Path]:
    """Give the folder of a bundle that a person named: by its name, its folder, or a package's zip file.

    Raises:
        InputError: there is no such bundle.
    """
    if bundle in shared.bundle_names() or not Path(bundle).exists():
        yield Path(shared.bundle_root(bundle))
        return
    with open_package(bundle) as folder:
        yield folder


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
    with ExitStack() as stack:
        folder = stack.enter_context(bundle_folder(str(bundle))).resolve()
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
        with quiet(bundle.folder):
            result = check.function(bundle)
    except Exception as err:  # a bundle may raise anything; the other checks go on
        result = Result.of([message_of(err)])
    lines = tuple(line.replace(f"{bundle.folder}/", "").replace(f"{bundle.work}/", "") for line in result.failures)
    return dataclasses.replace(result, failures=lines, seconds=time.perf_counter() - began)
