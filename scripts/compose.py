"""Write the configurations of bundles from their facts.json and shared/recipes: python scripts/compose.py

Needs the package compact-json, of the extra "test".
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.bundle import composing
from shared.errors import InputError, message_of

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    known = sorted(path.parent.name for path in BUNDLES.glob(f"*/{composing.FACTS}"))
    parser = argparse.ArgumentParser(description="Write bundles' configurations from their facts.json and the recipes.")
    parser.add_argument("names", nargs="*", metavar="BUNDLE", help=f"some of {', '.join(known)} (default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing; name the files that are out of step")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in known:
            parser.error(f"{name}: found no bundles/{name}/{composing.FACTS}, expected one of {', '.join(known)}")
    options.names = options.names or known
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 1 when a file is out of step, or facts or recipes are wrong."""
    options = parse(arguments)
    complaints = []
    for name in options.names:
        try:
            if options.check:
                complaints += composing.out_of_step(BUNDLES / name)
            else:
                composing.write(BUNDLES / name)
        except InputError as err:
            complaints.append(message_of(err))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
