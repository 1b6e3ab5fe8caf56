"""Runs are made once, continue where they were, and share their first stages."""

import json
import logging
import os
import sys
from dataclasses import replace

import pytest
import torch
from filelock import FileLock
from monai.bundle import run as run_bundle

from shared.errors import InputError
from shared.reproduction import runs
from shared.reproduction.commands import command_line, config_files, configuration_digest
from shared.reproduction.description import Run, Stage
from shared.reproduction.papers.gradprom.tables import RECOGNITION, trained
from shared.reproduction.profiles import PROFILES
from shared.reproduction.runs import Runner, weights_hash

GRADPROM = Run("gradprom_isic", {"strategy": "gradprom", "sigma": 0.1}, shares=(RECOGNITION,))
JOINT = Run("gradprom_isic", {"strategy": "joint", "sigma": 0.3, "weight": 0.01}, shares=(RECOGNITION,))


def test_identity_does_not_depend_on_the_order_of_overrides_and_on_nothing_else():
    assert Run("b", {"a": 1, "c": 2}) == Run("b", {"c": 2, "a": 1})
    assert Run("b", {"a": 1, "c": 2}).identity() == Run("b", {"c": 2, "a": 1}).identity()
    different = [
        Run("b"), Run("c"), Run("b", {"a": 1}), Run("b", {"a": 2}), Run("b", overlays=("x.json",)),
        Run("b", kind="recognition"), Run("b", trained=Run("b")), Run("b", trained=Run("c")),
    ]
    assert len({run.identity() for run in different}) == len(different) == len(set(different))


def test_a_run_that_is_done_is_not_done_again(bundles, tmp_path):
    runner = Runner(tmp_path)
    assert runner.record(GRADPROM, 0) is None
    assert runner.make(GRADPROM, 0)
    assert [run_id for run_id, _ in bundles.calls] == ["pretraining", "training"]
    assert runner.make(GRADPROM, 0)
    assert Runner(tmp_path).make(GRADPROM, 0)
    assert len(bundles.calls) == 2
    record = runner.record(GRADPROM, 0)
    assert record["identity"] == GRADPROM.identity()
    assert record["phantom"] is True
    assert len(record["weights_sha256"]) == 64
    assert not (runner.folder(GRADPROM, 0) / "models" / "checkpoint.pt").exists()


def test_stage_a_is_shared_by_runs_that_differ_in_the_cascade_alone(bundles, tmp_path):
    runner = Runner(tmp_path)
    for run in (GRADPROM, JOINT, replace(GRADPROM, overlays=("challenging.json",))):
        runner.make(run, 0)
    assert [run_id for run_id, _ in bundles.calls].count("pretraining") == 1
    starts = {call["ckpt_path"] for run_id, call in bundles.calls if run_id == "training"}
    assert len(starts) == 1
    runner.make(JOINT, 1)
    runner.make(JOINT.with_overrides(backbone="resnet101"), 1)
    runner.make(JOINT.with_overrides(auxiliary="segmentation"), 1)
    assert [run_id for run_id, _ in bundles.calls].count("pretraining") == 4


def test_stages_are_those_of_the_run_and_each_continues_from_the_one_before(bundles, tmp_path):
    warmup = Stage("pixels", "warming", "@warm#trainer", {"adversarial": 0}, frozenset(["adversarial", "blocks"]))
    second = Stage("discriminator", "preparing", "@prepare#trainer", ignores=frozenset(["adversarial"]))
    runner = Runner(tmp_path)
    run = Run("gradprom_isic", {"adversarial": 0.1, "blocks": 8}, shares=(warmup, second))
    runner.make(run, 0)
    runner.make(run.with_overrides(adversarial=0.2), 0)
    runner.make(run.with_overrides(blocks=2), 0)
    stages = [run_id for run_id, _ in bundles.calls if run_id != "training"]
    assert stages == ["warming", "preparing", "preparing"]
    first, then, last = (call for _, call in bundles.calls[:3])
    assert runner.stage_folder(run, warmup, 0).name.startswith("gradprom_isic-pixels-")
    assert (first["adversarial"], "blocks" in first, "ckpt_path" in first) == (0, False, False)
    assert then["ckpt_path"] == str(runner.stage_folder(run, warmup, 0) / "models" / "checkpoint.pt")
    assert last["ckpt_path"] == str(runner.stage_folder(run, second, 0) / "models" / "checkpoint.pt")
    bundles.calls.clear()
    runner.make(Run("gradprom_isic", {"adversarial": 0.3}), 0)
    assert [(run_id, "ckpt_path" in call) for run_id, call in bundles.calls] == [("training", False)]


def test_a_run_that_was_killed_continues_from_its_own_checkpoint(bundles, tmp_path):
    runner = Runner(tmp_path)
    bundles.fails["gradprom"] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        runner.make(GRADPROM, 0)
    assert runner.record(GRADPROM, 0) is None
    bundles.fails.clear()
    runner.make(GRADPROM, 0)
    last = bundles.calls[-1][1]
    assert last["resume"] is True
    assert "ckpt_path" not in last
    assert runner.record(GRADPROM, 0) is not None


def test_seconds_of_a_run_that_was_killed_are_added_up(bundles, tmp_path):
    runner = Runner(tmp_path)
    bundles.fails["gradprom"] = KeyboardInterrupt
    for useful in (100, 30, 0):  # seconds to the last checkpoint; the last time none was written
        with pytest.raises(KeyboardInterrupt):
            runner.make(GRADPROM, 0)
        began = json.loads((runner.folder(GRADPROM, 0) / "begun.json").read_text())["began"]
        mtime = began + useful if useful else began - 1000
        os.utime(runner.folder(GRADPROM, 0) / "models" / "checkpoint.pt", (mtime, mtime))
    bundles.fails.clear()
    runner.make(GRADPROM, 0)
    assert 130 <= runner.record(GRADPROM, 0)["seconds"] < 135
    assert runner.stage_record(GRADPROM, RECOGNITION, 0)["seconds"] < 5


def test_recognition_runs_share_nothing_and_evaluations_take_weights(bundles, tmp_path):
    runner = Runner(tmp_path)
    alone = Run("gradprom_isic", {"sigma": 0.1}, ("recognition_alone.json",), "recognition")
    runner.make(alone, 0)
    assert [run_id for run_id, _ in bundles.calls] == ["training"]
    assert "ckpt_path" not in bundles.calls[0][1]
    other = GRADPROM.evaluated(test_dataset="lizard")
    runner.make(other, 0)
    run_id, call = bundles.calls[-1]
    assert run_id == "evaluating"
    assert call["ckpt_dir"] == str(runner.folder(GRADPROM, 0) / "models")
    assert runner.record(other, 0)["weights_sha256"] == runner.record(GRADPROM, 0)["weights_sha256"]
    assert runner.record(other, 0)["trained"] == GRADPROM.identity()


def test_data_sets_are_passed_on_and_not_mixed(bundles, tmp_path):
    runner = Runner(tmp_path, {"isic": "/data/isic"})
    runner.make(GRADPROM, 0)
    assert all(call["dataset_dir"] == "/data/isic" for _, call in bundles.calls)
    with pytest.raises(InputError, match="run on /data/isic, expected one on the default data; give another --out"):
        Runner(tmp_path).make(GRADPROM, 0)


def test_a_killed_run_and_its_stage_a_are_not_continued_on_other_data(bundles, tmp_path):
    bundles.fails["gradprom"] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        Runner(tmp_path, {"isic": "/data/isic"}).make(GRADPROM, 0)
    bundles.fails.clear()
    bundles.calls.clear()
    for run, file in ((GRADPROM, rf"{GRADPROM.identity()}-seed0/begun\.json"), (JOINT, r"recognition-.*/run\.json")):
        with pytest.raises(InputError, match=f"{file}: found a run on /data/isic, expected one on the default data"):
            Runner(tmp_path).make(run, 0)
    assert bundles.calls == []


def raise_versions(monkeypatch, changed: str) -> None:
    if changed == "code":
        monkeypatch.setattr("shared.__version__", "99.0")
    elif changed == "phantom":
        monkeypatch.setitem(runs.PHANTOMS, "isic", replace(runs.PHANTOMS["isic"], version=99))
    else:
        monkeypatch.setattr(runs, "configuration_digest", lambda files: "another")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("code", r"run by version .* of this package, expected one by version 99\.0 of this package"),
        ("phantom", "run on version .* of the phantom data, expected one on version 99 of the phantom data"),
        ("configuration", r"run by configuration \w{16}, expected one by configuration another"),
    ],
)
def test_runs_by_other_code_data_or_configuration_are_not_mixed(changed, message, bundles, tmp_path, monkeypatch):
    monkeypatch.delenv("MONAI_DATA_DIRECTORY", raising=False)
    bundles.fails["joint"] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        Runner(tmp_path).make(JOINT, 0)
    Runner(tmp_path).make(GRADPROM, 0)
    bundles.calls.clear()
    raise_versions(monkeypatch, changed)
    for run in (GRADPROM, JOINT, JOINT.with_overrides(weight=1)):  # done, begun, and its first stage done
        with pytest.raises(InputError, match=f"{message}; give another --out"):
            Runner(tmp_path).make(run, 0)
    assert bundles.calls == []


def test_configurations_are_told_apart_by_what_they_do(tmp_path):
    def digest(text: str) -> str:
        (tmp_path / "train.json").write_text(text)
        return configuration_digest([str(tmp_path / "train.json")])

    first = digest('{"a": 1, "b": [{"_desc_": "one", "c": 2}]}')
    assert digest('{"b": [{"c": 2, "_desc_": "another"}],\n "a": 1}') == first
    assert digest('{"a": 1, "b": [{"_desc_": "one", "c": 3}]}') != first


def test_data_of_the_environment_are_told_from_the_default(bundles, tmp_path, monkeypatch):
    monkeypatch.delenv("MONAI_DATA_DIRECTORY", raising=False)
    Runner(tmp_path).make(GRADPROM, 0)
    (tmp_path / "isic").mkdir()
    monkeypatch.setenv("MONAI_DATA_DIRECTORY", str(tmp_path))
    with pytest.raises(InputError, match="found a run on the default data, expected one on .*/isic"):
        Runner(tmp_path).make(GRADPROM, 0)
    assert Runner(tmp_path).overrides(GRADPROM, 0)["dataset_dir"] == str(tmp_path / "isic")
    assert Runner(tmp_path).dataset_dir(Run("gradprom_mni152")) is None
    with pytest.raises(InputError, match="no folder '.*/lizard'"):
        Runner(tmp_path).dataset_dir(Run("gradprom_lizard"))


def test_a_perceptual_loss_by_vgg19_needs_a_file(bundles, tmp_path):
    """Without one there is no such loss, rather than one of random features; both are not mixed."""
    run, key = Run("rirgan_brats", {"perceptual": "vgg19"}), "train#loss#terms#perceptual#vgg19_weights"
    with_file, without = Runner(tmp_path, vgg19_weights="/vgg19.pth"), Runner(tmp_path)
    assert without.overrides(run, 0) == {"perceptual": "none", "seed": 0}
    assert with_file.overrides(run, 0) == {"perceptual": "vgg19", key: "/vgg19.pth", "seed": 0}
    for other in (Run("rirgan_brats", {"perceptual": "none"}), Run("rirgan_brats")):
        assert with_file.overrides(other, 0) == without.overrides(other, 0) == {**other.overrides, "seed": 0}
        assert with_file.made_with(other) == without.made_with(other)
    without.make(run, 0)
    assert bundles.calls[-1][1]["perceptual"] == "none"
    with pytest.raises(InputError, match=r"without VGG19's weights, expected one with VGG19's weights /vgg19\.pth"):
        with_file.make(run, 0)


def test_a_record_of_before_versions_were_noted_is_refused(bundles, tmp_path):
    runner = Runner(tmp_path)
    runner.make(GRADPROM, 0)
    path = runner.folder(GRADPROM, 0) / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({key: record[key] for key in record if key != "shared"}))
    with pytest.raises(InputError, match="found a run by an unknown version of this package, expected one by version"):
        runner.record(GRADPROM, 0)


def test_a_damaged_record_is_named(bundles, tmp_path):
    runner = Runner(tmp_path)
    runner.make(GRADPROM, 0)
    (runner.folder(GRADPROM, 0) / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json: found no record of a run"):
        runner.record(GRADPROM, 0)


def test_a_run_that_another_process_is_at_is_left_to_it(bundles, tmp_path):
    runner = Runner(tmp_path)
    folder = runner.folder(GRADPROM, 0)
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        assert runner.make(GRADPROM, 0, wait=False) is False
    assert bundles.calls == []
    assert runner.make(GRADPROM, 0, wait=False) is True


def test_what_a_bundle_says_goes_to_a_file_and_logging_is_as_before(bundles, tmp_path, capsys):
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    early = logging.StreamHandler(sys.stdout)
    logger = logging.getLogger("made.at.import")
    logger.addHandler(early)
    stream = early.stream
    runner = Runner(tmp_path)
    runner.make(GRADPROM, 0)
    assert capsys.readouterr().out == ""
    assert "said by the bundle" in (runner.folder(GRADPROM, 0) / "log.txt").read_text()
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)
    assert early.stream is stream
    logger.removeHandler(early)


def test_loggers_made_by_one_run_do_not_break_the_next(bundles, tmp_path, monkeypatch):
    def run_with_logger(**words):
        logger = logging.getLogger("made.by.a.run")
        if not logger.handlers:
            logger.addHandler(logging.StreamHandler())
        logger.error("%s", words["run_id"])
        bundles(**words)

    monkeypatch.setattr(runs, "run_bundle", run_with_logger)
    runner = Runner(tmp_path)
    for run in (GRADPROM, JOINT):
        runner.make(run, 0)
        assert (runner.folder(run, 0) / "log.txt").read_text().startswith("training\n")
    logging.getLogger("made.by.a.run").handlers.clear()


def test_hash_is_that_of_the_values(tmp_path):
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": {"c": torch.tensor([1, 2])}, "empty": torch.zeros(0)}
    torch.save(state, tmp_path / "one.pt")
    torch.save(dict(reversed(state.items())), tmp_path / "two.pt")
    assert weights_hash(tmp_path / "one.pt") == weights_hash(tmp_path / "two.pt")
    for key, other in {"a": state["a"].reshape(3, 2), "b": {"c": torch.tensor([1, 3])}, "d": torch.zeros(1)}.items():
        torch.save({**state, key: other}, tmp_path / "three.pt")
        assert weights_hash(tmp_path / "three.pt") != weights_hash(tmp_path / "one.pt")


def test_command_line_can_be_typed_from_the_repository():
    text = command_line("training", config_files(Run("gradprom_isic", overlays=("smoke.json",))), {"sigma": 0.1})
    files = "\"['bundles/gradprom_isic/configs/train.json', 'shared/configs/smoke.json']\""
    assert text == f"python -m monai.bundle run training --config_file {files} --sigma 0.1"


@pytest.mark.slow
def test_a_run_with_a_shared_stage_a_equals_one_without_bit_for_bit(tmp_path, monkeypatch):
    """And a run that was stopped in the cascade equals both; each in the same process after other runs."""
    profile = PROFILES["smoke"]
    size = {"train#dataset#data": "$@train#datalist[:8]", "max_epochs": 2, "image_size": 16}
    run = trained("gradprom_isic", "diagnosis", "gradprom", sigma=0.1).under(profile).with_overrides(**size)
    runner = Runner(tmp_path / "shared")

    def stop_in_the_cascade(**words):
        run_bundle(**words, **({"max_epochs": 1} if words["run_id"] == "training" else {}))
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "run_bundle", lambda **words: run_bundle(**words))
    other = run.with_overrides(strategy="joint", sigma=0.3)
    runner.make(replace(other, overlays=("challenging.json", *run.overlays)), 0)
    monkeypatch.setattr(runs, "run_bundle", lambda max_epochs, **words: stop_in_the_cascade(**words))
    with pytest.raises(KeyboardInterrupt):
        runner.make(run, 0)
    monkeypatch.setattr(runs, "run_bundle", run_bundle)
    runner.make(run, 0)
    folder = tmp_path / "alone"
    overrides = runner.overrides(run, 0) | {"ckpt_dir": str(folder / "models"), "output_dir": str(folder / "eval")}
    run_bundle(run_id="training", config_file=config_files(run), **overrides)
    assert weights_hash(folder / "models" / "model.pt") == runner.record(run, 0)["weights_sha256"]
    per_image = [path / "eval" / "per_image.csv" for path in (folder, runner.folder(run, 0))]
    assert per_image[0].read_text() == per_image[1].read_text()
    assert json.loads((folder / "eval" / "config.json").read_text())["strategy"] == "gradprom"
