"""Ignite handlers of the bundles."""

from shared.handlers.adversarial import AdversarialHandler
from shared.handlers.batch_statistics import RenewBatchStatistics
from shared.handlers.clip_gradients import ClipGradients
from shared.handlers.companion import Companion
from shared.handlers.companion_handler import CompanionHandler
from shared.handlers.defined_elsewhere import defined_elsewhere
from shared.handlers.epoch_log import EpochLog
from shared.handlers.finite import FiniteLoss, NonFiniteError
from shared.handlers.gradprom import GradPromHandler
from shared.handlers.loading_weights import LoadWeights
from shared.handlers.loss_terms import LossTerms
from shared.handlers.progress import Progress
from shared.handlers.resume import ResumableCheckpoint
from shared.handlers.saving_weights import SaveWeights
from shared.handlers.seeding import EpochSeed
from shared.handlers.tensorboard import TensorBoardCurves
from shared.handlers.whole_batch import WholeBatch

__all__ = [
    "AdversarialHandler",
    "ClipGradients",
    "Companion",
    "CompanionHandler",
    "EpochLog",
    "EpochSeed",
    "FiniteLoss",
    "GradPromHandler",
    "LoadWeights",
    "LossTerms",
    "NonFiniteError",
    "Progress",
    "RenewBatchStatistics",
    "ResumableCheckpoint",
    "SaveWeights",
    "TensorBoardCurves",
    "WholeBatch",
    "defined_elsewhere",
]
