import math

import pytest

from shared.bundle.settings import SETTINGS
from shared.errors import InputError

GOOD = [
    ("batch_size", 1), ("batch_size", 64), ("sigma", 0), ("sigma", 0.3), ("warmup", 0.0), ("warmup", 0.99), ("seed", 0),
    ("num_validation", None), ("num_validation", 3), ("resume", True), ("resume", False), ("resume", "true"),
    ("strategy", "none"), ("strategy", "gradprom_cosine"), ("auxiliary", "both"), ("imagenet_weights", None),
    ("imagenet_weights", __file__), ("split", "paper"), ("adversarial_epochs", 0), ("test_fraction", 0.4),
    ("sigma", [0.0, 0.1]),
]
BAD = [
    ("batch_size", 0, ">= 1"), ("batch_size", 2.5, "whole number"), ("batch_size", True, "whole number"),
    ("batch_size", "8", "whole number"), ("batch_size", None, "whole number"), ("sigma", -0.1, ">= 0"),
    ("sigma", math.nan, ">= 0"), ("sigma", math.inf, ">= 0"), ("sigma", [0.1], "a pair [low, high]"),
    ("sigma", [0.2, 0.1], "a pair [low, high]"), ("warmup", 1, "< 1"),
    ("learning_rate", 0, "> 0"), ("resume", "false", "--resume False"), ("resume", 1, "true or False"),
    ("strategy", "Gradprom", "one of gradprom"), ("auxiliary", None, "one of diagnosis"),
    ("split", "random", "one of official"), ("imagenet_weights", "/nowhere.pt", "existing file"), ("seed", -1, ">= 0"),
    ("adversarial_epochs", -1, ">= 0"), ("test_fraction", 1, "< 1"), ("perceptual", "vgg16", "one of none"),
]


@pytest.mark.parametrize(("key", "value"), GOOD)
def test_accepts(key, value):
    SETTINGS[key].check(key, value)


@pytest.mark.parametrize(("key", "value", "expected"), BAD)
def test_refuses_and_names_key_found_and_expected(key, value, expected):
    with pytest.raises(InputError) as caught:
        SETTINGS[key].check(key, value)
    message = str(caught.value)
    assert message.startswith(f"{key}: expected ")
    assert expected in message
    assert repr(value) in message
    assert "\n" not in message
