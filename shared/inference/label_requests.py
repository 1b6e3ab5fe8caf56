"""Telling a client of MONAI Label what is wrong with its request."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from shared.errors import InputError


def asked_by_monai_label(data: Mapping[Hashable, Any]) -> bool:
    """Whether data come from a request to MONAI Label, which names ``image_path`` and ``model`` in them."""
    return "image_path" in data and "model" in data


@contextlib.contextmanager
def bad_request(data: Mapping[Hashable, Any]) -> Iterator[None]:
    """Turn a bad input into an answer with status 400 where MONAI Label is asking; do nothing anywhere else.

    MONAI Label answers any other error by "Internal Server Error", and its message is in the server's log alone. For
    an image that is not in its data store it gives an empty path.

    Args:
        data: of the request.
    """
    try:
        if asked_by_monai_label(data) and not data["image_path"]:
            raise InputError("image: found no image of this id in the data store, expected one that /datastore/ lists")
        yield
    except InputError as err:
        if not asked_by_monai_label(data):
            raise
        # Here, as FastAPI need not be there but with MONAI Label.
        from fastapi import HTTPException

        raise HTTPException(status_code=400, detail=str(err)) from err
