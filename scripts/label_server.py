"""Check packages and serve them by MONAI Label's app monaibundle; scripts/label_server.sh prepares and calls it.

With --check only the standard library is needed: everything that can be wrong is found before MONAI Label is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from shared.bundle.archive import read_zip, unpack
from shared.bundle.manifest import Manifest
from shared.errors import InputError

WEIGHTS = "models/model.pt"
EXTENSIONS = ("*.png", "*.jpg", "*.jpeg", "*.bmp", "*.tif", "*.tiff", "*.nii", "*.nii.gz", "*.dcm")
SECONDS_TO_STOP = 20


class _Parser(argparse.ArgumentParser):
    """Ends with one line, as all errors here do."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = _Parser(
        prog="bash scripts/label_server.sh",
        description="Serve packaged bundles by MONAI Label. It writes datastore_v2.json and labels/ into the folder of "
        "the studies; everything else that it writes is removed when the server stops.",
    )
    parser.add_argument("--studies", type=Path, required=True, metavar="DIR", help="folder of the images to serve")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1, this machine alone: MONAI Label asks nobody for a password)",
    )
    parser.add_argument("--check", action="store_true", help="check what was given, and serve nothing")
    parser.add_argument("packages", type=Path, nargs="+", metavar="PACKAGE.zip", help="made by scripts/package.py")
    return parser.parse_args(arguments)


def check_port(host: str, port: int) -> None:
    """Find out whether a server could listen.

    Raises:
        InputError: when it could not, for example because another one does.
    """
    if not 0 < port < 65536:
        raise InputError(f"--port: found {port}, expected a number from 1 to 65535")
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as err:
        raise InputError(
            f"--port: {port} of {host} cannot be used: {err.strerror or err}; name another one, for example --port 8001"
        ) from err


def check_studies(folder: Path) -> None:
    """Check the folder that MONAI Label will serve and write to.

    Raises:
        InputError: when it is no folder, or cannot be written.
    """
    if not folder.is_dir():
        raise InputError(f"--studies: found no folder {folder}, expected one with images")
    if not os.access(folder, os.W_OK):
        raise InputError(f"--studies: {folder} cannot be written, but MONAI Label keeps its list of images there")


def check_packages(packages: Sequence[Path]) -> list[Manifest]:
    """Read packages, all files against their checksums, and return what each is.

    Raises:
        InputError: when one is damaged or without weights, which MONAI Label would leave out in silence, when two are
            of the same bundle, or when they hold different versions of the code that one process shares.
    """
    manifests: dict[str, tuple[Path, Manifest]] = {}
    for package in packages:
        manifest, files = read_zip(package)
        if WEIGHTS not in files:
            raise InputError(f"{package}: found no {WEIGHTS}, expected a package of a bundle that was trained")
        first, other = next(iter(manifests.values()), (package, manifest))
        if manifest.shared_version != other.shared_version:
            raise InputError(
                f"{package}: made with shared {manifest.shared_version}, but {first} with {other.shared_version}, "
                "expected the same version in all packages of one server; make them again by scripts/package.py"
            )
        if manifest.name in manifests:
            raise InputError(
                f"{package}: holds the bundle {manifest.name}, as does {manifests[manifest.name][0]}, expected one"
            )
        manifests[manifest.name] = package, manifest
    return [manifest for _, manifest in manifests.values()]


def prepare(work: Path, packages: Sequence[Path]) -> Path:
    """Copy MONAI Label's app and put the packages into it; return the app's folder."""
    monailabel = [sys.executable, "-m", "monailabel.main"]
    copied = subprocess.run(
        [*monailabel, "apps", "--download", "--name", "monaibundle", "--output", str(work)],
        capture_output=True,
        text=True,
        env=_environment(work),
    )
    app = work / "monaibundle"
    if copied.returncode or not app.is_dir():
        sys.stderr.write(copied.stdout + copied.stderr)
        raise InputError(f"{sys.executable}: its monailabel gives no app monaibundle, expected monailabel 0.8.5")
    for package in packages:
        bundle = unpack(package, app / "model")
        # MONAI Label lets clients choose among all *.pt, and loads what does not fit the network without a word.
        for other in set(bundle.glob("models/*.pt")) - {bundle / WEIGHTS}:
            other.unlink()
    return app


def serve(work: Path, app: Path, models: Sequence[str], options: argparse.Namespace) -> int:
    """Run the server until it ends or is told to; return its exit code."""
    # zoo_source ngc: bundles lie here, and nothing is asked of the internet when the server starts.
    settings = {"models": ",".join(models), "zoo_source": "ngc", "skip_trainers": "true", "sam2": "false"}
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(app)]
    command += ["--studies", str(options.studies.resolve()), "--host", options.host, "--port", str(options.port)]
    command += [word for name, value in settings.items() for word in ("--conf", name, value)]
    server = subprocess.Popen(command, cwd=work, env=_environment(work))
    try:
        return server.wait()
    finally:
        server.terminate()
        try:
            server.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _environment(work: Path) -> dict[str, str]:
    """Of the server: what clients upload stays in its own folder, and no other ``shared`` comes before a package's."""
    temporary = work / "tmp"
    temporary.mkdir(exist_ok=True)
    defaults = {
        "MONAI_LABEL_DATASTORE_FILE_EXT": json.dumps(EXTENSIONS),
        "MONAI_LABEL_SESSION_PATH": str(work / "sessions"),
    }
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**defaults, **kept, "TMPDIR": str(temporary)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = parse(arguments)
    try:
        check_studies(options.studies)
        check_port(options.host, options.port)
        manifests = check_packages(options.packages)
        if options.check:
            return 0
        # A plain end, so that the server is stopped and its folder removed.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        with tempfile.TemporaryDirectory(prefix="label-server-") as work:
            app = prepare(Path(work), options.packages)
            for manifest in manifests:
                print(f"Serving {manifest.name} {manifest.version}: POST /infer/{manifest.name}", flush=True)
            return serve(Path(work), app, [manifest.name for manifest in manifests], options)
    except InputError as err:
        sys.stderr.write(f"error: {err}\n")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
