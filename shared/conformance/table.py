"""What the checks found, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.bundle.provenance import versions
from shared.conformance.data_format import ADAPTED
from shared.conformance.exports import BOUND
from shared.conformance.package_process import CODE
from shared.conformance.result import OK, SKIPPED, Result
from shared.reporting.tables import text_table
from shared.version import __version__

Results = Mapping[str, Mapping[str, Result]]
"""What was found, by bundle and check."""


def as_table(results: Results, markdown: bool = False) -> str:
    """A row for each bundle, a column for each check; what the words mean, below it."""
    # A package has one more than a bundle of the repository, in front.
    longest_first = sorted(results.values(), key=len, reverse=True)
    checks = list(dict.fromkeys(name for row in longest_first for name in row))
    rows = [["bundle", *checks]]
    rows += [[bundle, *(_cell(row.get(check)) for check in checks)] for bundle, row in results.items()]
    return "\n\n".join([text_table(rows, markdown=markdown), "\n".join(_legend(results, markdown))])


def failures(results: Results) -> list[str]:
    """One line for each failure."""
    return [
        f"{bundle}: {check}: {line}"
        for bundle, row in results.items()
        for check, result in row.items()
        for line in result.failures
    ]


def as_json(results: Results) -> dict[str, Any]:
    """Everything that was found, and the versions it holds for."""
    bundles = {
        bundle: {
            check: {
                "status": result.status,
                "note": result.note,
                "failures": list(result.failures),
                "seconds": round(result.seconds, 2),
            }
            for check, result in row.items()
        }
        for bundle, row in results.items()
    }
    return {"versions": versions(), "bundles": bundles}


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    return f"{result.status} {result.note}".rstrip() if result.status == OK else result.status


def _legend(results: Results, markdown: bool) -> Iterator[str]:
    """What needs a word: notes that occur, and why checks were skipped."""
    rows = [(bundle, check, result) for bundle, row in results.items() for check, result in row.items()]
    notes = {result.note for _, _, result in rows if result.status == OK}
    lead = "- " if markdown else ""
    if any(check in ("TorchScript", "torch.export", "ONNX") and result.status == OK for _, check, result in rows):
        yield (f"{lead}Numbers: the largest absolute difference to PyTorch, at other sizes than the network was "
               f"exported at; bound {BOUND:.0e}. Batch, height and width are dynamic where metadata.json has n.")
    if "no weights" in notes:
        yield f"{lead}no weights: models/model.pt is missing, which the Model Zoo prefers to have."
    if "random" in notes:
        yield f"{lead}random: random weights of a fixed seed, written, read and loaded strictly, were checked."
    if ADAPTED in notes:
        yield (f"{lead}{ADAPTED}: models/provenance.json names other channels or another scale than metadata.json; "
               "what the package's metadata.json will say was checked.")
    for bundle, check, result in rows:
        if check == CODE and result.status == OK and result.note != __version__:
            yield (f"{lead}{CODE}: {bundle} was checked by the shared {result.note} that lies in it; "
                   f"the repository has {__version__}.")
    if any(check == CODE for _, check, _ in rows):
        yield f"{lead}{CODE}: the version of shared in a package; it makes the checks, as a user would run it."
    for bundle, check, result in rows:
        if result.status == SKIPPED:
            yield f"{lead}skipped: {bundle}: {check} {result.note}."
