"""Make a bundle's package, which needs nothing else of this repository: python scripts/package.py gradprom_mni152

A package is a zip file for the Model Zoo, MONAI Label or a colleague (once `shared` is installed here).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from shared import bundle_names
from shared.bundle.archive import read_zip
from shared.errors import InputError, message_of
from shared.files import short_path
from shared.packaging.build import Options, build


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="Make packages of bundles: zip files that need nothing else.")
    parser.add_argument("names", nargs="*", metavar="BUNDLE", help=f"one or more of {', '.join(bundle_names())}")
    parser.add_argument("--all", action="store_true", help="all bundles; one that fails does not stop the others")
    parser.add_argument("--out", default="dist", metavar="FOLDER", help="where the zip files go (default: dist)")
    parser.add_argument("--without-weights", action="store_true", help="leave models/ out, whatever lies there")
    parser.add_argument("--recognition", action="store_true", help="add recognition.pt, which evaluation needs")
    parser.add_argument(
        "--url", action="append", default=[], metavar="FILE=URL",
        help="leave a file (models/model.pt) out and name its download in large_files.yml; once for each, one BUNDLE",
    )
    parser.add_argument("--verify", nargs="+", metavar="ZIP", help="check packages instead: every file's SHA-256")
    options = parser.parse_args(arguments)
    if (bool(options.names) + options.all + (options.verify is not None)) != 1:
        parser.error("expected names of bundles, or --all, or --verify with zip files")
    if options.without_weights and options.recognition:
        parser.error("--recognition: found --without-weights too, expected one of them")
    if options.url and len(options.names) != 1:
        parser.error("--url: expected one BUNDLE, since the URLs are those of its files")
    if not all("=" in text for text in options.url):
        parser.error("--url: expected FILE=URL, for example models/model.pt=https://example.org/model.pt")
    return options


def package(name: str, options: argparse.Namespace) -> None:
    """Make one package and say what it is."""
    urls = dict(text.split("=", 1) for text in options.url)
    made = build(name, options.out, Options(not options.without_weights, options.recognition, urls))
    print(f"wrote {short_path(made.path)} ({made.files} files, {made.size / 1e6:.1f} MB, {made.weights})")
    if urls:
        print(f"  left out and named in large_files.yml: {', '.join(urls)}")
    print(f"  SHA-256 {made.sha256}", flush=True)


def verify(path: str) -> None:
    """Check one package and say what it is."""
    manifest, files = read_zip(path)
    shared = f"shared {manifest.shared_version}"
    print(f"{path}: sound; {manifest.name} {manifest.version} with {shared}, {len(files)} files")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make or check the packages; return the exit code."""
    options = parse(arguments)
    failures = 0
    for name in options.verify or options.names or bundle_names():
        try:
            verify(name) if options.verify else package(name, options)
        except InputError as err:
            failures += 1
            print(f"error: {message_of(err)}", file=sys.stderr)
    if failures and options.all:
        print(f"error: {failures} of {len(bundle_names())} bundles failed", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
