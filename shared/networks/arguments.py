"""Checks of constructor arguments that the enhancement networks have in common."""

from __future__ import annotations

from shared.errors import InputError


def check_sizes(owner: str, **sizes: int) -> None:
    """Ask for integers of at least 1.

    Raises:
        InputError: one is not; the message names `owner`, argument and found value.
    """
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{owner}: {name} must be an integer of at least 1, found {value!r}")


def check_choice(owner: str, name: str, value: object, choices: tuple[object, ...]) -> None:
    """Ask for one of `choices`, of its type too: True and 1.0 are not the factor 1.

    Raises:
        InputError: it is none of them; the message names `owner`, argument, choices and found value.
    """
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        rule = f"one of {choices}" if len(choices) > 1 else repr(choices[0])
        raise InputError(f"{owner}: {name} must be {rule}, found {value!r}")


def check_same_channels(owner: str, in_channels: int, out_channels: int) -> None:
    """Ask for as many channels out as in, for a network that corrects its input.

    Raises:
        InputError: they differ; the message names `owner` and both numbers.
    """
    if in_channels != out_channels:
        raise InputError(
            f"{owner}: out_channels must equal in_channels, because the network corrects its input, found "
            f"in_channels {in_channels} and out_channels {out_channels}"
        )
