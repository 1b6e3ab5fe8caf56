"""A reproduction as a whole, with runs that train nothing: what is made, what is told, what is written."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from scripts import reproduce
from shared.errors import InputError
from shared.reproduction.description import Figure, Run
from shared.reproduction.papers import gradprom, select
from shared.reproduction.plan import Estimate
from shared.reproduction.profiles import PROFILES
from shared.reproduction.runs import Runner
from shared.reproduction.session import Session

SMOKE = PROFILES["smoke"]


def draw(folders: Mapping[str, str | Path]) -> bytes:
    """A figure that says which folders it was given."""
    assert all((Path(folder) / "run.json").is_file() for folder in folders.values())
    return b"\x89PNG" + ",".join(folders).encode()


def draw_nothing(folders: Mapping[str, str | Path]) -> bytes:
    raise InputError("no such layer")


def with_figure(monkeypatch, drawn) -> None:
    known = {"figure4": Figure("Figure 4", {"GradProm": Run("gradprom_isic", {"sigma": 0.3})}, drawn)}
    monkeypatch.setattr(gradprom, "PAPER", replace(gradprom.PAPER, figures=known))


@pytest.fixture
def figures(monkeypatch) -> None:
    with_figure(monkeypatch, draw)


def made(tmp_path, names, seeds=(0,)) -> Session:
    chosen, drawn = select(names)
    return Session(Runner(tmp_path), SMOKE, seeds, chosen, drawn)


def test_tables_figures_and_page_are_written(bundles, figures, tmp_path):
    session = made(tmp_path, ["table3", "figure4"], seeds=(0, 1))
    session.run()
    assert session.failures == {}
    written = {path.name for path in session.write()}
    assert written == {"table3.md", "table3.csv", "table3-comparisons.csv", "figure4.png", "report.html"}
    for name in ("table3.md", "report.html", "table3.csv"):
        assert "no result" in (tmp_path / name).read_text()
    page = (tmp_path / "report.html").read_text()
    assert "21 of 21 done" in page  # 10 runs of the table with two seeds, one of the figure
    assert "smoke" in page


def test_a_killed_reproduction_continues(bundles, figures, tmp_path):
    session = made(tmp_path, ["table3"])
    bundles.fails["frozen"] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        session.run()
    before = [run_id for run_id, _ in bundles.calls].count("training")
    bundles.fails.clear()
    bundles.calls.clear()
    made(tmp_path, ["table3"]).run()
    assert [run_id for run_id, _ in bundles.calls].count("training") == len(session.jobs()) - (before - 1)
    assert "pretraining" not in [run_id for run_id, _ in bundles.calls]
    bundles.calls.clear()
    made(tmp_path, ["table3"]).run()
    assert bundles.calls == []


def test_a_run_that_fails_is_told_and_the_others_are_made(bundles, figures, tmp_path, capsys):
    bundles.fails["joint"] = InputError("loss: found nan")
    bundles.fails["frozen"] = RuntimeError("a bug")
    session = made(tmp_path, ["table3"])
    session.run()
    assert sorted(session.failures.values()) == ["RuntimeError: a bug"] * 2 + ["loss: found nan"] * 2
    assert "failed: loss: found nan" in capsys.readouterr().out
    assert len(list(tmp_path.glob("runs/*/error.txt"))) == 2
    session.write()
    text = (tmp_path / "table3.md").read_text()
    assert text.count("not run") >= 2
    assert reproduce.main(["table3", "--profile", "smoke", "--out", str(tmp_path)]) == 1
    assert "failed: " in capsys.readouterr().err
    bundles.fails.clear()
    assert reproduce.main(["table3", "--profile", "smoke", "--out", str(tmp_path)]) == 0


def test_a_figure_that_cannot_be_drawn_costs_no_table(bundles, figures, tmp_path, capsys, monkeypatch):
    with_figure(monkeypatch, draw_nothing)
    assert reproduce.main(["table3", "figure4", "--profile", "smoke", "--out", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "failed: figure4: not written: no such layer" in told.err
    assert "table3.md" in told.out
    assert "figure4.png" not in told.out


def test_equal_weights_of_different_runs_are_an_error(bundles, figures, tmp_path, capsys):
    bundles.same_weights = True
    assert reproduce.main(["table3", "--profile", "smoke", "--out", str(tmp_path)]) == 1
    assert "error: weights of different runs must differ" in capsys.readouterr().err


def test_dry_run_shows_commands_and_runs_nothing(bundles, figures, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Estimate, "seconds", lambda self, run: 60.0)
    monkeypatch.setattr(Estimate, "stage_seconds", lambda self, run, stage: 600.0)
    words = ["table3", "--profile", "smoke", "--out", str(tmp_path / "out"), "--dry-run"]
    assert reproduce.main([*words, "--dataset_dir", str(tmp_path), "--repeats", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = [line for line in lines if "python -m monai.bundle run" in line]
    assert len(commands) == 20
    assert all(f"--dataset_dir {tmp_path}" in line for line in commands)
    # Ten runs and what nine of them share, with two seeds.
    assert sum("-recognition-" in line for line in lines) == 2
    assert lines[-1].startswith("20 runs; those to come take about 40 min on this machine")
    assert bundles.calls == []
    assert not (tmp_path / "out").exists()


def test_list_names_everything(capsys):
    assert reproduce.main(["--list"]) == 0
    named = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert {f"gradprom-{table.name}" for table in gradprom.PAPER.tables} <= named
    assert {f"gradprom-{name}" for name in gradprom.PAPER.figures} <= named


def test_all_is_everything_of_the_paper(figures):
    chosen, drawn = select(["all"])
    assert list(chosen) == [f"table{number}" for number in range(1, 9)]
    assert list(drawn) == ["figure4"]
    assert select(["gradprom-all"]) == (chosen, drawn)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table9"], "name 'table9' is unknown; the nearest is 'table8'"),
        (["table4", "--dataset_dir", "/data"], "--dataset_dir /data: expected NAME=FOLDER"),
        (["table4", "--dataset_dir", "izic=/data"], "expected NAME=FOLDER with a name of isic, lizard"),
        (["table1", "--dataset_dir", "/nowhere"], "found no folder /nowhere, expected that of data set 'isic'"),
        (["table1", "--vgg19_weights", "/nowhere"], "--vgg19_weights: expected an existing file, found '/nowhere'"),
        (["table1", "--profile", "cpu"], "expected 'full' or 'smoke' for bundle 'gradprom_isic', found 'cpu'"),
    ],
)
def test_wrong_words_are_one_clear_error(words, message, bundles, figures, tmp_path, capsys):
    assert reproduce.main([*words, "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert bundles.calls == []
    assert message in error


def test_an_out_that_is_a_file_is_one_clear_error(bundles, figures, tmp_path, capsys):
    (tmp_path / "out").touch()
    assert reproduce.main(["table3", "--profile", "smoke", "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    assert told.err.strip() == f"error: folder {tmp_path / 'out'} cannot be made: File exists"
    assert told.out == ""


@pytest.mark.parametrize("words", [[], ["table1", "--repeats", "0"]])
def test_usage_errors_end_with_code_2(words, capsys):
    with pytest.raises(SystemExit) as stop:
        reproduce.main(words)
    assert stop.value.code == 2


def test_records_hold_what_a_reader_asks_for(bundles, figures, tmp_path):
    session = made(tmp_path, ["table4"])
    session.run()
    records = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/run.json")]
    runs = [record for record in records if "identity" in record]
    assert len(runs) == len(session.jobs()) == 8
    keys = {"seed", "bundle", "overrides", "overlays", "weights_sha256", "device", "versions", "seconds", "command"}
    assert all(keys <= record.keys() for record in runs)
