"""What is measured, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Sizes of networks and batches, and how often everything is repeated.

    The defaults are the networks of the GradProm paper (SR-ResNet with 16 blocks of 64 features, ResNet-50) on the
    crop of the phantom profile, in batches of 2, so that a CPU gets through in minutes. Per image, GradProm needs
    1.63 times the operations of joint training; what optimizers do once per batch brings the ratio of times down, the
    more so the smaller the batch.

    Attributes:
        device: "cpu" or "cuda".
        threads: of PyTorch on the CPU.
        rounds: rounds that count; in each, every variant is timed once.
        warmup_rounds: rounds before these, which do not count.
        batch_size: images in a batch.
        image_size: height and width of a crop, in pixels.
        num_blocks: residual blocks of the SR-ResNet.
        features: channels of its hidden layers.
        backbone: the ResNet of MONAI that recognises.
        memory_runs: processes per variant whose peak memory is measured.
        memory_steps: training steps in each of them.
        loading_steps: training steps in which waiting for data is measured; as many as ``warmup_rounds`` go before.
        volume_size: height and width of the slices of a volume that is enhanced, in voxels.
        volume_slices: their number, where time is measured.
        volume_batch: slices that go through the network at a time.
        volume_blocks: blocks of the RIR generator.
        volume_features: channels of its hidden layers.
        volume_rounds: rounds that count; one goes before.
        volume_few, volume_many: slices of the two volumes whose peak memory is measured.
        volume_memory_features: channels of the network there, which has one block.
    """

    device: str = "cpu"
    threads: int = 1
    rounds: int = 8
    warmup_rounds: int = 2
    batch_size: int = 2
    image_size: int = 64
    num_blocks: int = 16
    features: int = 64
    backbone: str = "resnet50"
    memory_runs: int = 2
    memory_steps: int = 3
    loading_steps: int = 12
    volume_size: int = 240
    volume_slices: int = 8
    volume_batch: int = 4
    volume_blocks: int = 2
    volume_features: int = 64
    volume_rounds: int = 2
    volume_few: int = 40
    volume_many: int = 155
    volume_memory_features: int = 8


def quick(device: str, threads: int) -> Settings:
    """Return settings that show in seconds that everything runs; the ratios mean nothing."""
    return Settings(
        device,
        threads,
        rounds=2,
        warmup_rounds=1,
        batch_size=2,
        image_size=32,
        num_blocks=1,
        features=8,
        backbone="resnet18",
        memory_runs=1,
        memory_steps=2,
        loading_steps=2,
        volume_size=32,
        volume_slices=4,
        volume_batch=2,
        volume_blocks=1,
        volume_features=8,
        volume_rounds=1,
        volume_few=4,
        volume_many=8,
    )
