"""Checks a package by the ``shared`` in its folder; package_process.py runs it, as a script.

That code may be of another version. So nothing is used here but what all versions have.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Return what the checks found as JSON types, or the error by which the code of the package cannot be run.

    Args:
        request: ``folder`` of the package, names of ``checks``, ``own_weights`` and ``exports`` of ``check_bundle``.
    """
    folder = Path(request["folder"])
    sys.path.insert(0, str(folder))
    try:
        import shared

        if Path(str(shared.__file__)).resolve().parent != folder / "shared":
            return {"error": "no folder shared with code"}
        from shared.conformance import CHECKS, check_bundle
    except Exception as err:  # damaged code raises anything
        return {"error": f"{type(err).__name__}: {err}"}
    results = check_bundle(
        folder,
        [each for each in CHECKS if each.name in request["checks"]],
        own_weights=request["own_weights"],
        exports=Path(request["exports"]) if request["exports"] else None,
        say=partial(print, flush=True),
    )
    keys = ("status", "note", "failures", "seconds")
    found = {name: {key: getattr(result, key) for key in keys} for name, result in results.items()}
    return {"version": shared.__version__, "found": found}


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    Path(request["answer"]).write_text(json.dumps(check(request)), encoding="utf-8")
