"""Who made an enhanced image: the bundle, its version and the run."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path

from shared.files import read_json
from shared.images.modality import ANY, modality_of


@dataclass(frozen=True)
class Producer:
    """What enhanced an image.

    One object stands for one run: enhanced DICOM files of one source series belong to one new series when they are
    written with the same producer, and to another one when they are written with another.

    Attributes:
        name: of the bundle, as its metadata say, for example "GradProm on MNI152".
        version: of the bundle.
        run: what tells this run from all others.
        modality: of the images that its network was trained on, as its metadata say.
    """

    name: str = "a network without a name"
    version: str = "unknown"
    run: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)
    modality: str = ANY

    def uid(self, *origin: str) -> str:
        """A DICOM UID for what stems from ``origin`` in this run: the same for the same, never that of another run."""
        return f"2.25.{uuid.uuid5(uuid.UUID(self.run), '/'.join(origin)).int}"

    def another_run(self) -> Producer:
        """The same bundle in a run of its own."""
        return replace(self, run=uuid.uuid4().hex)


def read_producer(bundle_root: str, any_modality: bool = False) -> Producer:
    """Return what ``configs/metadata.json`` of a bundle says about it, in a run of its own.

    Args:
        bundle_root: folder of the bundle.
        any_modality: take images of all modalities for those that the network was trained on.

    Raises:
        InputError: the file cannot be read or is no JSON object.
    """
    metadata = read_json(Path(bundle_root) / "configs" / "metadata.json", "the bundle's metadata")
    return Producer(
        str(metadata.get("name", Path(bundle_root).name)),
        str(metadata.get("version", "unknown")),
        modality=ANY if any_modality else modality_of(metadata),
    )
