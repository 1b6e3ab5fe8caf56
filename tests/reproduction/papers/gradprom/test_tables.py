"""The tables name runs that exist, rows that the paper has, and rivals that can be compared."""

import json

import pytest

from shared.bundle.settings import SETTINGS
from shared.errors import InputError
from shared.reproduction.commands import config_files
from shared.reproduction.description import Run
from shared.reproduction.papers import profiles
from shared.reproduction.papers.gradprom.tables import RECOGNITION, tables
from shared.reproduction.profiles import PROFILES

TABLES = {table.name: table for table in tables()}
RUNS = list(dict.fromkeys(cell.run for table in TABLES.values() for cell in table.cells))
OURS = ("cosine", "SR-ResNet seg", "frozen seg")
"""Rows beyond the paper's."""


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.bundle}-{run.identity()}")
def test_run_names_files_keys_and_values_that_there_are(run):
    known = set()
    for file in config_files(run):
        with open(file, encoding="utf-8") as stream:
            known |= json.load(stream).keys()
    assert set(run.overrides) <= known
    for key, value in run.overrides.items():
        if key in SETTINGS:
            SETTINGS[key].check(key, value)


@pytest.mark.parametrize("table", [table for table in TABLES.values() if table.printed], ids=lambda table: table.name)
def test_every_row_and_column_of_the_paper_is_there(table):
    """Rows "from the paper, not run here" are methods without an implementation here."""
    ours = {(cell.row, cell.column) for cell in table.cells}
    assert list(dict.fromkeys(cell.column for cell in table.cells)) == table.printed.columns
    theirs = {row.row for row in table.printed.rows if row.run_here}
    assert theirs == {row for row, _ in ours if not any(word in row for word in OURS)}
    for cell in table.cells:
        if not any(word in cell.row for word in OURS):
            numbers = [table.printed.number(cell.row, cell.column, metric) for metric in cell.metrics]
            assert any(number is not None for number in numbers), (cell.row, cell.column)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_rivals_stand_in_the_same_column_and_share_a_metric(table):
    places = {(cell.row, cell.column): cell for cell in table.cells}
    assert len(places) == len(table.cells)
    for cell in table.cells:
        for row in cell.compare_with:
            rival = places[row, cell.column]
            assert set(cell.metrics) & set(rival.metrics)
            # A data set may have other test images for another task; a comparison is one of the same images.
            assert cell.run.overrides.get("auxiliary") == rival.run.overrides.get("auxiliary")


def test_tables_share_runs():
    """Table 5's rows with ResNet-50 are those of tables 1 and 2; the base rows of table 4 those of table 1."""
    def runs(name: str, *rows: str) -> set[Run]:
        return {cell.run for cell in TABLES[name].cells if cell.row in rows}

    assert runs("table5", "GradProm dia ResNet-50") <= runs("table1", "Sup. GradProm")
    assert runs("table5", "GradProm seg ResNet-50") <= runs("table2", "Sup. GradProm")
    assert runs("table5", "SR-ResNet") <= runs("table1", "Benchmark-i")
    assert runs("table4", "Base GradProm", "Base frozen") <= {cell.run for cell in TABLES["table1"].cells}
    for cell in TABLES["table4"].cells:
        if not cell.row.startswith("Base"):
            assert cell.run.trained in runs("table4", f"Base {cell.row}")


def test_mni152_holds_eight_strategies_three_weights_and_two_noise_levels():
    runs = {cell.run for cell in TABLES["mni152"].cells}
    assert len(runs) == 2 * (1 + 7 * 3)
    assert not TABLES["mni152"].significance


def test_profiles_add_to_overrides_and_overlays():
    run = Run("gradprom_isic", {"backbone": "resnet101", "sigma": 0.1}, ("challenging.json",), shares=(RECOGNITION,))
    assert run.under(PROFILES["full"]) == run
    smoke = run.under(PROFILES["smoke"])
    assert smoke.overrides == {"backbone": "resnet10", "sigma": 0.1}
    assert smoke.overlays == ("challenging.json", "smoke.json", "smoke_reproduction.json")
    assert smoke.shares == run.shares
    assert run.evaluated(test_dataset="lizard").under(PROFILES["smoke"]).trained == smoke
    with pytest.raises(InputError, match="expected 'full' or 'smoke' for bundle 'gradprom_isic', found 'cpu'"):
        run.under(profiles()["cpu"])


def test_the_shared_stage_is_alone_in_what_trains_an_enhancement():
    """Stage (a) on clean images is shared; benchmarks ii and iii train recognition on degraded ones."""
    for run in RUNS:
        assert run.shares == ((RECOGNITION,) if run.kind == "enhancement" else ())
    (first,) = {RECOGNITION.of(cell.run).identity() for cell in TABLES["mni152"].cells}
    (isic,) = {RECOGNITION.of(cell.run) for cell in TABLES["table1"].cells if cell.run.kind == "enhancement"}
    assert isic.overrides == {"auxiliary": "diagnosis", "strategy": "none"}
    assert isic.identity() != first
