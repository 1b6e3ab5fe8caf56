"""How tests talk to a server."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: where it answers.
        studies: folder of its images.
        own: folder of what the bundles' own inference makes of them, one folder for each bundle.
        python: the interpreter that has MONAI Label.
        temporary: where the server keeps what it needs while it runs.
    """

    url: str
    studies: Path
    own: Path
    python: str
    temporary: Path

    def infer(self, model: str, image: str | None = None, file: Path | None = None, **query: Any) -> requests.Response:
        """POST /infer/<model>, as every client does; ``params`` go into the form."""
        params = query.pop("params", None)
        with file.open("rb") if file else open(os.devnull, "rb") as content:
            return requests.post(
                f"{self.url}/infer/{model}",
                params={**({"image": image} if image else {}), **query},
                data={"params": params} if params else None,
                files={"file": (file.name, content)} if file else None,
                timeout=120,
            )


def free_port() -> int:
    """A port of this machine on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
