"""The runs of bundles behind RIRGAN's tables and figures; what two of them have in common is the same run.

The paper trains everything for 200,000 updates of 16 crops (section 4.3) and does not say how strong its noise is; what
the bundle decides holds: σ uniform in [0, 0.1] in training and 0.05 in testing, no discriminator in the first tenth.
"""

from __future__ import annotations

from typing import Any

from shared.reproduction.description import Run, Stage
from shared.reproduction.profiles import Profile

BUNDLE, MNI152 = "rirgan_brats", "rirgan_mni152"
TEST_SIGMA = 0.05
"""The bundles' own."""

WARMUP, EPOCHS, LONGER_EPOCHS = 20, 200, 350
"""Epochs of 1000 updates each."""
Settings = dict[str, Any]
CLEAN: Settings = {"sigma": 0.0, "test_sigma": 0.0}
PIXELS_ALONE: Settings = {"perceptual": "none", "train#loss#weights#total_variation": 0.0}
RELATIVISTIC: Settings = {"adversarial_loss#_target_": "shared.losses.RelativisticAverage"}
STANDARD: Settings = {"adversarial_loss#_target_": "shared.losses.VanillaAdversarial"}
EIGHT: Settings = {"network_def#num_blocks": 8}

TIMELESS = frozenset(["sigma", "test_sigma", "weight", *RELATIVISTIC])

CPU = Profile(
    "cpu", "RIRGAN's tables with 1000 updates of 4 crops instead of 200,000 of 16, some hours on 2 CPU cores a seed",
    shortened={"max_epochs": 0.05, "adversarial_epochs": 0.05},
    of_bundle={
        # What the bundle has for its phantom, for real data too, and of these no more test slices than the paper's.
        BUNDLE: {
            "batch_size": 4, "crop_size": 64, "crops_per_epoch": 400, "learning_rate": 2.5e-4, "num_validation": 16,
            "num_workers": 0, "val_interval": 5, "test#datalist#limit": 175,
        },
        MNI152: {"profile": "cpu"},
    },
)


def trained(*overlays: str, epochs: int = EPOCHS, adversarial: bool = True, **overrides: Any) -> Run:
    """Return a training on BraTS; one call for all tables, so that equal runs have equal settings.

    Args:
        overlays: network and losses, if they are not RIRGAN's, and noise.
        epochs: of 1000 updates.
        adversarial: whether a discriminator plays in all but the first of them.
        overrides: further settings.
    """
    alone = WARMUP if adversarial else epochs
    settings = {"perceptual": "vgg19", "max_epochs": alone, "adversarial_epochs": epochs - alone, **overrides}
    return Run(BUNDLE, settings, overlays, timeless=TIMELESS)


RIRGAN = trained()
SRGAN = trained("srresnet.json", "srgan.json")
SRRESNET = trained("srresnet.json", "srgan.json", adversarial=False)
RDN = trained("rdn.json", adversarial=False, **PIXELS_ALONE)
DNCNN = trained("dncnn.json", "srgan.json", adversarial=False, **PIXELS_ALONE)
SALT_AND_PEPPER = trained("salt_and_pepper.json")
LONGER = trained("salt_and_pepper.json", epochs=LONGER_EPOCHS)

ABLATION = {
    "none (SRGAN, 8 blocks)": trained("srresnet.json", "srgan.json", **EIGHT),
    "RIR-G": trained("srgan.json"),
    "RaD": trained("srresnet.json", "srgan.json", **EIGHT, **RELATIVISTIC),
    "hybrid": trained("srresnet.json", **EIGHT, **STANDARD),
    "RIR-G + RaD": trained("srgan.json", **RELATIVISTIC),
    "RIR-G + hybrid": trained(**STANDARD),
    "RaD + hybrid": trained("srresnet.json", **EIGHT),
    "all": RIRGAN,
}


def without_noise(run: Run) -> Run:
    """Return a training from images of low resolution without noise, tested on such."""
    return run.with_overrides(**CLEAN)


def blocks(num_blocks: int) -> Run:
    """Return RIRGAN with another number of RIR blocks; 8 is RIRGAN itself."""
    return RIRGAN if num_blocks == 8 else RIRGAN.with_overrides(**{"network_def#num_blocks": num_blocks})


def super_resolution(num_blocks: int) -> Run:
    """Return RIRGAN trained for super-resolution alone: no noise, and so no total variation (section 4.11)."""
    return without_noise(blocks(num_blocks)).with_overrides(**{"train#loss#weights#total_variation": 0.0})


RECOGNITION = Stage(
    "recognition",
    run_id="pretraining",
    trainer="$@pretrain.trainer",
    overrides={"strategy": "none"},
    # It looks at clean images. The scale counts: it decides with which random numbers its networks begin.
    ignores=frozenset(["strategy", "weight", "gradprom#warmup", "adversarial_epochs"]),
)
TAIL = 1
"""Epochs with the discriminator, after those of the bundle's own."""
STRATEGIES = ("joint", "gradprom")
STRATEGY_WEIGHT = 0.01


def on_mni152(strategy: str = "none", adversarial_epochs: int = 0, scale: int = 4) -> Run:
    """Return a training on slices of the MNI152 template with the bundle's own sizes, beside a tissue segmentation."""
    settings: Settings = {"auxiliary": "segmentation", "strategy": strategy, "scale": scale}
    settings["adversarial_epochs"] = adversarial_epochs
    if strategy != "none":
        settings |= {"weight": STRATEGY_WEIGHT, "gradprom#warmup": 0.0}
    return Run(MNI152, settings, shares=(RECOGNITION,), timeless=TIMELESS)


def evaluated(run: Run, test_sigma: float) -> Run:
    """Return the test of a run's weights with noise of this strength."""
    return run if test_sigma == TEST_SIGMA else run.evaluated(test_sigma=test_sigma)
