"""The tables name runs that exist, rows that the paper has, and rivals that can be compared."""

import json

import pytest

from shared import bundle_root
from shared.bundle.settings import SETTINGS
from shared.errors import InputError
from shared.reproduction.model import Run
from shared.reproduction.papers.gradprom import paper
from shared.reproduction.papers.gradprom.experiments import tables
from shared.reproduction.profiles import PROFILES
from shared.reproduction.runs import config_files

TABLES = tables()
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


@pytest.mark.parametrize("table", [table for table in TABLES.values() if table.paper], ids=lambda table: table.name)
def test_every_row_and_column_of_the_paper_is_there(table):
    """Rows "from the paper, not run here" are methods without an implementation here."""
    ours = {(cell.row, cell.column) for cell in table.cells}
    assert list(dict.fromkeys(cell.column for cell in table.cells)) == paper.columns(table.name)
    theirs = {row.row for row in paper.rows(table.name) if row.run_here}
    assert theirs == {row for row, _ in ours if not any(word in row for word in OURS)}
    for cell in table.cells:
        if not any(word in cell.row for word in OURS):
            numbers = [paper.number(table.name, cell.row, cell.column, metric) for metric in cell.metrics]
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
    run = Run("gradprom_isic", {"backbone": "resnet101", "sigma": 0.1}, ("challenging.json",))
    assert PROFILES["full"].apply(run) == run
    smoke = PROFILES["smoke"].apply(run)
    assert smoke.overrides == {"backbone": "resnet10", "sigma": 0.1}
    assert smoke.overlays == ("challenging.json", "smoke.json", "smoke_reproduction.json")
    evaluation = Run("gradprom_isic", run.overrides, kind="evaluation", trained=run)
    assert PROFILES["smoke"].apply(evaluation).trained == smoke
    with pytest.raises(InputError, match="expected 'full' or 'smoke' for bundle 'gradprom_isic', found 'cpu'"):
        PROFILES["cpu"].apply(run)


def test_bundles_of_the_tables_exist():
    for bundle in {run.bundle for run in RUNS}:
        assert bundle_root(bundle)
