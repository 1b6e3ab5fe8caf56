"""The tables name runs that the bundles can make, rows that the paper has, and rivals that can be compared."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from shared import bundle_root, networks
from shared.bundle.configuration import check_discriminator, check_enlargement, check_settings, check_validation
from shared.bundle.overlays import OVERLAYS
from shared.bundle.settings import SETTINGS
from shared.errors import InputError, root_cause
from shared.losses import RelativisticAverage, VanillaAdversarial
from shared.reproduction.commands import config_files
from shared.reproduction.description import Run
from shared.reproduction.papers import profiles
from shared.reproduction.papers.rirgan.figures import FIGURES
from shared.reproduction.papers.rirgan.runs import (
    ABLATION,
    DNCNN,
    LONGER,
    RDN,
    RECOGNITION,
    RIRGAN,
    SALT_AND_PEPPER,
    SRGAN,
    SRRESNET,
    super_resolution,
    without_noise,
)
from shared.reproduction.papers.rirgan.tables import tables

TABLES = {table.name: table for table in tables()}
CELLS = [cell for table in TABLES.values() for cell in table.cells]
RUNS = list(dict.fromkeys([*(cell.run for cell in CELLS), *(r for f in FIGURES.values() for r in f.needs.values())]))


def configuration(run: Run, **more: Any) -> ConfigParser:
    """A run's configuration, as on its command line but for data."""
    parser = ConfigParser(ConfigParser.load_config_files(config_files(run)))
    parser.update({**run.overrides, "perceptual": "none", "phantom": False, "dataset_dir": ".", **more})
    return parser


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.bundle}-{run.identity()}")
def test_run_names_files_keys_and_values_that_there_are(run: Run) -> None:
    known = ConfigParser(ConfigParser.load_config_files(config_files(run)))
    for key, value in run.overrides.items():
        assert key in known, key
        if key in SETTINGS:
            SETTINGS[key].check(key, value)
    if run.kind == "enhancement":
        assert run.shares == ((RECOGNITION,) if run.bundle == "rirgan_mni152" else ())
        assert "adversarial_epochs" in run.overrides, "what it is must not hang on a bundle's default"


@pytest.mark.parametrize("table", [table for table in TABLES.values() if table.printed], ids=lambda table: table.name)
def test_every_row_and_column_of_the_paper_is_there(table) -> None:
    theirs = {(row.row, column) for row in table.printed.rows for column in row.values}
    ours = {(cell.row, cell.column) for cell in table.cells}
    if table.name == "table1":
        assert not ours, "nothing is run"
    elif table.name == "table4":
        assert not theirs, "the paper has no numbers"
        assert len(ours) == 4
    else:
        beyond = {("RaD + hybrid", column) for column in ("PSNR", "SSIM")} if table.name == "table3" else set()
        optional = {("BM3D (LR + noise)", "×4")} if importlib.util.find_spec("bm3d") is None else set()
        assert ours == (theirs | beyond) - (optional if table.name == "table6" else set())
        for cell in table.cells:
            numbers = [table.printed.number(cell.row, cell.column, metric) for metric in cell.metrics]
            assert all(numbers) or (cell.row, cell.column) in beyond


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_rivals_stand_in_the_same_column_and_share_a_metric(table) -> None:
    places = {(cell.row, cell.column): cell for cell in table.cells}
    assert len(places) == len(table.cells)
    for cell in table.cells:
        for row in cell.compare_with:
            assert set(cell.metrics) & set(places[row, cell.column].metrics)


def test_tables_share_runs() -> None:
    """RIRGAN is one run in six tables; what is trained without noise stands in tables 4 and 8, or 2 and 6."""
    runs = {(table.name, cell.row): cell.run for table in TABLES.values() for cell in table.cells}
    for place in (("table2", "RIRGAN"), ("table3", "all"), ("table4", "MTL"), ("table5", "Gaussian"),
                  ("table6", "RIRGAN (LR + noise)"), ("table7", "N = 8")):
        assert runs[place] == RIRGAN
    assert runs["table4", "SR-only"] == runs["table8", "N = 8"] == super_resolution(8)
    assert runs["table4", "SR-test1"].trained == super_resolution(8)
    assert runs["table4", "SR-test2"].trained == RIRGAN
    trained = {run for run in RUNS if run.kind == "enhancement" and run.bundle == "rirgan_brats"}
    assert len(trained) == 23
    assert len({cell.run for cell in TABLES["mni152"].cells}) == 4 * 4 + 2


def test_ablation_takes_one_part_after_the_other() -> None:
    """RIR-G, RaD and hybrid loss, as the configurations of the runs have them and not as their names say."""
    parts = {}
    for row, run in ABLATION.items():
        parser = configuration(run)
        network = parser.get_parsed_content("network_def")
        assert len(network.blocks) == 8
        loss = parser.get_parsed_content("adversarial_loss")
        assert type(loss) in (RelativisticAverage, VanillaAdversarial)
        hybrid = parser.get_parsed_content("train#loss#weights#total_variation") > 0
        assert hybrid == (parser["train#loss#terms#pixel#_target_"] == "shared.losses.PixelLoss")
        assert parser["adversarial#weight"] == (0.005 if hybrid else 0.001)
        parts[row] = (isinstance(network, networks.RIRGenerator), isinstance(loss, RelativisticAverage), hybrid)
    expected = {
        row: tuple(part in row.split(" + ") or row == "all" for part in ("RIR-G", "RaD", "hybrid")) for row in ABLATION
    }
    assert parts == expected
    assert len(set(parts.values())) == 8


@pytest.mark.parametrize(
    ("run", "network", "blocks", "pixel", "adversarial"),
    [
        (SRRESNET, networks.SRResNet, 16, "torch.nn.MSELoss", False),
        (SRGAN, networks.SRResNet, 16, "torch.nn.MSELoss", True),
        (RDN, networks.RDN, 8, "shared.losses.PixelLoss", False),
        (DNCNN, networks.DnCNN, 17, "torch.nn.MSELoss", False),
        (RIRGAN, networks.RIRGenerator, 8, "shared.losses.PixelLoss", True),
    ],
)
def test_methods_are_what_their_papers_say(
    run: Run, network: type, blocks: int, pixel: str, adversarial: bool
) -> None:
    parser = configuration(run)
    assert type(parser.get_parsed_content("network_def")) is network
    assert parser.get_parsed_content("network_def#num_blocks") == blocks
    assert parser["train#loss#terms#pixel#_target_"] == pixel
    assert (parser.get_parsed_content("adversarial_epochs") > 0) is adversarial
    alone = run.overrides["perceptual"] == "none"
    assert alone is (run in (RDN, DNCNN)), "RDN and DnCNN know pixels alone"
    assert (parser.get_parsed_content("train#loss#weights#total_variation") > 0) is (run is RIRGAN)


def test_updates_and_rates_are_the_papers() -> None:
    for run, updates in ((RIRGAN, 200_000), (SRRESNET, 200_000), (SALT_AND_PEPPER, 200_000), (LONGER, 350_000)):
        parser = configuration(run)
        values = {key: parser.get_parsed_content(key) for key in ("batch_size", "crops_per_epoch", "crop_size")}
        assert (values["batch_size"], values["crop_size"]) == (16, 96)
        epochs = run.overrides["max_epochs"] + run.overrides["adversarial_epochs"]
        assert epochs * values["crops_per_epoch"] == updates * 16
        assert parser.get_parsed_content("learning_rate") == 1e-4
        assert parser.get_parsed_content("adversarial#optimizer#lr") == 1e-6
        assert parser["train#optimizer#betas"] == parser["adversarial#optimizer#betas"] == [0.5, 0.999]
        assert "lr_scheduler" not in parser["train"], "the rate stays as it is"


def test_a_validation_of_real_data_is_short() -> None:
    """A tenth of the patients of a challenge has thousands of slices, and a run 200 epochs."""
    for run in (RIRGAN, DNCNN):
        assert configuration(run).get_parsed_content("validate#datalist#limit") == 200


def test_noise_is_in_the_images_that_it_should_be_in() -> None:
    def noise(run: Run) -> list[str]:
        parser = configuration(run)
        return [str(parser.get_parsed_content(key)) for key in ("noise", "test_noise")]

    table = {(cell.row, cell.column): cell.run for cell in TABLES["table5"].cells}
    assert noise(RIRGAN) == ["GaussianNoise(sigma=(0.0, 0.1))", "GaussianNoise(sigma=0.05)"]
    assert noise(without_noise(SRGAN)) == ["GaussianNoise(sigma=0.0)"] * 2
    assert noise(super_resolution(8).evaluated(test_sigma=0.05))[1] == "GaussianNoise(sigma=0.05)"
    assert noise(table["speckle", "200k updates"])[1] == "SpeckleNoise(sigma=0.05)"
    assert noise(table["local variance", "200k updates"])[1].startswith("LocalVarianceNoise(sigma=0.05")
    for column in ("200k updates", "350k updates"):
        assert noise(table["salt & pepper", column]) == ["SaltAndPepperNoise(probability=0.05, salt_share=0.5)"] * 2
        for row, share in (("salt", 1.0), ("pepper", 0.0)):
            run = table[row, column]
            assert noise(run)[1] == f"SaltAndPepperNoise(probability=0.05, salt_share={share})"
            assert run.trained == table["salt & pepper", column]


def test_profiles_shorten_all_runs_alike() -> None:
    cpu, smoke = profiles()["cpu"], profiles()["smoke"]

    def epochs(run: Run, profile) -> tuple[int, int]:
        overrides = run.under(profile).overrides
        return overrides["max_epochs"], overrides["adversarial_epochs"]

    assert [epochs(run, cpu) for run in (RIRGAN, SRRESNET, LONGER)] == [(1, 9), (10, 0), (1, 17)]
    assert [epochs(run, smoke) for run in (RIRGAN, SRRESNET, LONGER)] == [(1, 1), (1, 0), (1, 2)]
    for profile in (cpu, smoke):
        assert len({run.under(profile) for run in RUNS}) == len(RUNS), "different runs stay different"
    for run in RUNS:
        json.dumps(run.under(cpu).overrides)


@pytest.mark.parametrize("name", ["full", "cpu", "smoke"])
def test_no_run_is_refused_under_any_profile(name: str) -> None:
    """What a bundle checks before it begins: a reproduction of days must not end there."""
    for run in RUNS:
        parser = configuration(run.under(profiles()[name]))
        check_settings(parser)
        if run.kind == "enhancement":
            check_validation(parser)
        check_enlargement(parser)
        check_discriminator(parser)


def test_on_a_cpu_real_data_have_the_sizes_of_the_phantom() -> None:
    """Its rate above all: nothing bounds the steps of this bundle, and 5e-4 let it diverge."""
    given = dict(profiles()["cpu"].of_bundle["rirgan_brats"])
    bundle = configuration(RIRGAN, phantom=True)
    for key in ("batch_size", "crop_size", "crops_per_epoch", "learning_rate", "num_workers"):
        assert given.pop(key) == bundle.get_parsed_content(key), key
    assert given.keys() == {"num_validation", "val_interval", "test#datalist#limit"}


@pytest.mark.parametrize("overlay", ["srresnet.json", "rdn.json", "dncnn.json"])
def test_networks_of_overlays_are_the_same_in_inference(overlay: str) -> None:
    shapes = []
    for base in ("train.json", "inference.json"):
        file = Path(bundle_root("rirgan_brats")) / "configs" / base
        parser = ConfigParser(ConfigParser.load_config_files([str(file), str(OVERLAYS / overlay)]))
        parser["scale"] = 2
        network = parser.get_parsed_content("network_def")
        assert network(torch.rand(1, 3, 6, 5)).shape == (1, 3, 12, 10)
        shapes.append({key: value.shape for key, value in network.state_dict().items()})
    assert shapes[0] == shapes[1]


def test_losses_with_a_discriminator_are_refused_where_there_is_none(tmp_path: Path) -> None:
    files = [str(Path(bundle_root("gradprom_mni152")) / "configs/train.json"), str(OVERLAYS / "srgan.json")]
    check = [{"_target_": "shared.bundle.overlays.check_overlays"}]
    with pytest.raises(RuntimeError) as caught:
        ConfigWorkflow(files, logging_file=False, initialize=check).initialize()
    error = root_cause(caught.value)
    assert isinstance(error, InputError)
    assert re.search(r"overlay .*srgan\.json: .*leave the overlay out", str(error))
