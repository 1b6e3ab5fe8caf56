"""A handler that is defined elsewhere in a configuration, as an entry of a list of handlers."""

from __future__ import annotations

from typing import Any


def defined_elsewhere(handler: Any) -> Any:
    """Return the handler.

    MONAI's check of a bundle's properties expects each entry of ``train#handlers`` to be a component, so an entry
    cannot be a plain reference to a handler that other blocks refer to as well.
    """
    return handler
