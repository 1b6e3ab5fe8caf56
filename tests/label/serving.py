"""How tests talk to a server."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[2]
VERSION = "0.8.5"


def python_of_monai_label() -> str | None:
    """The interpreter that has MONAI Label: that which LABEL_PYTHON names, or that of ``.venv-label``."""
    python = os.environ.get("LABEL_PYTHON") or str(ROOT / ".venv-label" / "bin" / "python")
    code = "from importlib.metadata import version; import torchvision; print(version('monailabel'))"
    try:
        found = subprocess.run([python, "-c", code], capture_output=True, text=True)
    except OSError:
        return None
    return python if found.returncode == 0 and found.stdout.strip() == VERSION else None


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
