"""Check bundles as the Model Zoo does, and their exports: python scripts/check_bundles.py [BUNDLE ...]."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from shared import bundle_names
from shared.bundle import provenance
from shared.bundle.opening import METADATA, open_bundle
from shared.conformance import Result, check_bundle
from shared.conformance.requirements import PACKAGES, require
from shared.conformance.table import as_json, as_table, failures
from shared.errors import InputError
from shared.files import make_folder


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description="Check that bundles conform to MONAI's Model Zoo, load their weights, enhance images and can be "
        "exported (TorchScript, torch.export, ONNX). Works offline; writes nothing into a bundle. Exit code 1: a check "
        "failed; 2: it could not be done."
    )
    parser.add_argument("bundles", nargs="*", metavar="BUNDLE", help="name, folder or package (default: all bundles)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found to this file, too")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--keep-exports", type=Path, metavar="DIR", help="keep model.ts, .pt2, .onnx in DIR/<bundle>")
    parser.add_argument("--random-weights", action="store_true", help="leave models/model.pt aside where there is one")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, print the table and the failures, write the file; return the exit code."""
    options = parse(arguments)
    began = time.perf_counter()
    results: dict[str, dict[str, Result]] = {}
    try:
        require(*PACKAGES)
        for folder in filter(None, (options.keep_exports, options.json and options.json.parent)):
            make_folder(folder)
        chosen = list(dict.fromkeys(options.bundles or bundle_names()))
        for bundle in chosen:
            with open_bundle(bundle, "BUNDLE", METADATA):
                pass  # a wrong name is said before minutes of checks, not after them
        for bundle in chosen:
            name = Path(bundle).resolve().name
            # Two folders of one name are told apart by their paths.
            row = bundle if name in results else name
            results[row] = check_bundle(
                bundle, own_weights=not options.random_weights, exports=options.keep_exports, say=partial(_say, name)
            )
    except InputError as err:
        _say()
        print(f"error: {err}", file=sys.stderr)
        return 2
    _say()
    print(as_table(results, options.markdown))
    lines = failures(results)
    print("\n".join(["", *(f"FAIL {line}" for line in lines)]) if lines else "\nno failures")
    if options.json is not None:
        try:
            provenance.write_json(as_json(results), options.json)
        except InputError as err:
            print(f"error: {err}", file=sys.stderr)
            return 2
    if not options.markdown:
        print(f"{time.perf_counter() - began:.0f} s in all")
    return 1 if lines else 0


def _say(bundle: str = "", check: str = "") -> None:
    """Show on a terminal what is being checked, in one line that the next call replaces."""
    if sys.stderr.isatty():
        print(f"\r\033[K{bundle} {check}".rstrip(), end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
