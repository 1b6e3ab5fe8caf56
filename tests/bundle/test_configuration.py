import json
import sys

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow

from shared import bundle_root
from shared.bundle.configuration import (
    INJECTED,
    check_configuration,
    check_discriminator,
    check_enlargement,
    check_keys,
    check_settings,
    check_validation,
    resolved,
)
from shared.errors import InputError, message_of, root_cause, show_errors_last


def test_unknown_key_names_the_nearest():
    with pytest.raises(InputError, match="override 'max_epoch': found no such key .* did you mean 'max_epochs'"):
        check_keys({"max_epochs": 3, "max_epoch": 4}, {"max_epochs"})


@pytest.mark.parametrize(("key", "content", "hint"), [
    ("warmup", {"gradprom": {"warmup": 0.1}, "amp": False}, "; did you mean 'gradprom#warmup'?"),
    ("warmup", {"network_def": {}}, ""),
    ("tracking_urj", {"batch_size": 1}, ""),
])
def test_hints_are_keys_that_this_configuration_has(key, content, hint):
    """``warmup`` is a setting of other bundles, ``tracking_uri`` a key that MONAI may add."""
    with pytest.raises(InputError) as caught:
        check_keys({key: 1, **content}, {*content, *INJECTED})
    assert str(caught.value) == f"override {key!r}: found no such key in the configuration{hint}"


def test_key_of_a_file_that_was_not_read_is_unknown_from_python(bundle):
    (bundle.with_name("inference.json")).write_text(json.dumps({"plane": "axial", "overlap": 0.5}))
    with pytest.raises(RuntimeError) as caught:
        run(bundle, plane="coronal")
    assert message_of(caught.value) == "override 'plane': found no such key in the configuration"


def test_keys_of_tracking_and_private_keys_pass():
    check_keys({"tracking_uri": "x", "experiment_name": "y", "_meta_": {}}, INJECTED)


@pytest.fixture
def bundle(tmp_path):
    """A bundle whose run checks the configuration, and nothing else."""
    folder = tmp_path / "configs"
    folder.mkdir()
    content = {
        "bundle_root": str(tmp_path), "batch_size": "$2 * 4", "network_def": {"channels": 1},
        "run": [
            {"_target_": "shared.bundle.configuration.check_configuration", "save_as": str(tmp_path / "config.json")}
        ],
    }
    (folder / "train.json").write_text(json.dumps(content))
    return folder / "train.json"


def run(config_file, **overrides):
    workflow = ConfigWorkflow(config_file, logging_file=False, meta_file=str(config_file), **overrides)
    workflow.initialize()
    workflow.run()
    return workflow


def test_good_configuration_is_kept_with_the_values_of_its_settings(bundle):
    run(bundle, **{"network_def#channels": 3})
    saved = json.loads((bundle.parents[1] / "config.json").read_text())
    assert saved["batch_size"] == 8
    assert saved["network_def"] == {"channels": 3}


@pytest.mark.parametrize(("overrides", "message"), [
    ({"batchsize": 4}, "override 'batchsize': found no such key in the configuration; did you mean 'batch_size'?"),
    ({"batch_size": 0}, "batch_size: expected a whole number >= 1, found 0"),
    ({"batch_size": "$1 - 3"}, "batch_size: expected a whole number >= 1, found -2"),
])
def test_bad_configuration(bundle, overrides, message):
    with pytest.raises(RuntimeError) as caught:
        run(bundle, **overrides)
    assert isinstance(caught.value.__cause__, InputError)
    assert str(caught.value.__cause__) == message


def test_does_nothing_outside_a_bundle():
    check_configuration()


SHRINK = [{"_target_": "shared.degradations.BicubicDownsample", "factor": 2}] * 2
NOISE = [{"_target_": "shared.degradations.GaussianNoise", "sigma": "@sigma"}]


@pytest.mark.parametrize(("content", "message"), [
    ({"degradations": SHRINK, "scale": 4, "patch_size": 36}, None),
    ({"degradations": NOISE, "sigma": 0.1, "scale": 1, "image_size": 37}, None),
    ({"degradations": SHRINK, "scale": 4, "patch_size": 50}, "patch_size: expected a multiple of 4, found 50"),
    ({"degradations": NOISE, "sigma": 0.1, "scale": 4}, r"found GaussianNoise\(sigma=0.1\), expected .* shrink by 4"),
    ({"degradations": [], "scale": 2}, "degradations: found none, expected some that shrink by 2"),
    ({"degradations": SHRINK, "scale": 1}, "found BicubicDownsample.*, expected some that shrink by 1"),
    ({"degradations": NOISE, "scale": 1}, "degradations: .*@sigma` is not defined .*; they are not for this bundle"),
])
def test_network_enlarges_by_what_the_degradations_shrink(content, message):
    parser = ConfigParser({"network_def": {"_target_": "torch.nn.Identity", "upscale_factor": "@scale"}, **content})
    if message is None:
        check_enlargement(parser)
    else:
        with pytest.raises(InputError, match=message):
            check_enlargement(parser)


def test_a_range_of_noise_needs_a_strength_for_the_test():
    check_settings(ConfigParser({"sigma": [0.0, 0.1], "test_sigma": 0.05}))
    with pytest.raises(InputError, match=r"sigma: expected a number >= 0, found \[0.0, 0.1\]"):
        check_settings(ConfigParser({"sigma": [0.0, 0.1]}))


def test_crops_are_large_enough_for_a_discriminator_before_anything_begins():
    check_discriminator(ConfigParser({"adversarial_epochs": 0, "crop_size": 16}))
    check_discriminator(ConfigParser({"adversarial_epochs": 1, "crop_size": 32}))
    with pytest.raises(InputError, match="crop_size: expected at least 32, .*, found 28"):
        check_discriminator(ConfigParser({"adversarial_epochs": 1, "crop_size": 28}))


def test_resolved_keeps_components_as_they_are():
    parser = ConfigParser({"batch_size": "$1 + 1", "other": "$1 + 1", "network_def": {"_target_": "torch.nn.Identity"}})
    assert resolved(parser) == {
        "batch_size": 2, "other": "$1 + 1", "network_def": {"_target_": "torch.nn.Identity"}
    }


def wrapped(error: Exception) -> Exception:
    try:
        try:
            raise error
        except Exception as inner:
            raise RuntimeError("Failed to evaluate ConfigExpression") from inner
    except RuntimeError as outer:
        return outer


def test_bad_input_is_found_in_a_chain_of_causes():
    error = InputError("a.png: truncated")
    error.__cause__ = OSError("broken stream")
    assert message_of(wrapped(error)) == "a.png: truncated"
    assert root_cause(wrapped(error)) is error


def test_other_errors_come_with_their_kind():
    assert message_of(wrapped(ValueError("first\nlast"))) == "ValueError: last"
    assert message_of(wrapped(KeyError("name"))) == "KeyError: name"


def test_text_that_a_worker_sent_is_searched():
    text = (
        "Caught RuntimeError in DataLoader worker process 0.\nTraceback ...\n"
        "shared.errors.InputError: a.png: truncated\n\nThe above ...\nRuntimeError: applying transform <x>"
    )
    assert message_of(wrapped(RuntimeError(text))) == "a.png: truncated"


@pytest.mark.parametrize(("error", "lines"), [
    (wrapped(InputError("a.png: truncated")), ["error: a.png: truncated"]),
    (KeyboardInterrupt(), ["interrupted"]),
])
def test_terminal_ends_with_the_message(monkeypatch, capsys, error, lines):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    show_errors_last()
    sys.excepthook(type(error), error, None)
    assert capsys.readouterr().err.splitlines() == lines


def test_unexpected_error_keeps_its_traceback(monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    show_errors_last()
    error = wrapped(ZeroDivisionError("by zero"))
    sys.excepthook(type(error), error, error.__traceback__)
    output = capsys.readouterr().err.splitlines()
    assert output[0].startswith("Traceback")
    assert output[-1] == "error: ZeroDivisionError: by zero"


def test_bundle_root_does_not_depend_on_the_working_directory(tmp_path, monkeypatch):
    here = bundle_root("gradprom_isic")
    monkeypatch.chdir(tmp_path)
    assert bundle_root("gradprom_isic") == here
    with pytest.raises(InputError, match="bundle 'gradprom_isik': no folder .*; bundles found: .*gradprom_isic"):
        bundle_root("gradprom_isik")


def test_a_run_validates_at_least_once():
    check_validation(ConfigParser({"val_interval": 3, "max_epochs": "$1 + 2"}))
    check_validation(ConfigParser({"max_epochs": 2}))
    with pytest.raises(InputError, match="^val_interval: expected at most max_epochs 3, found 4$"):
        check_validation(ConfigParser({"val_interval": 4, "max_epochs": "$1 + 2"}))


def test_epochs_with_a_discriminator_validate_too():
    check_validation(ConfigParser({"val_interval": 5, "max_epochs": 1, "adversarial_epochs": 4}))
    with pytest.raises(InputError, match=r"expected at most max_epochs \+ adversarial_epochs 4, found 5$"):
        check_validation(ConfigParser({"val_interval": 5, "max_epochs": 1, "adversarial_epochs": 3}))
