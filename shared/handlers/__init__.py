"""Ignite handlers of the bundles."""

from shared.handlers.batch_statistics import RenewBatchStatistics
from shared.handlers.best_model import BestModel, LoadBestModel
from shared.handlers.epoch_log import EpochLog
from shared.handlers.finite import FiniteLoss, NonFiniteError
from shared.handlers.gradprom import GradPromHandler
from shared.handlers.progress import Progress
from shared.handlers.recognition_weights import LoadRecognition, SaveRecognition
from shared.handlers.resume import ResumableCheckpoint
from shared.handlers.seeding import EpochSeed
from shared.handlers.tensorboard import TensorBoardCurves
from shared.handlers.use import use

__all__ = [
    "BestModel",
    "EpochLog",
    "EpochSeed",
    "FiniteLoss",
    "GradPromHandler",
    "LoadBestModel",
    "LoadRecognition",
    "NonFiniteError",
    "Progress",
    "RenewBatchStatistics",
    "ResumableCheckpoint",
    "SaveRecognition",
    "TensorBoardCurves",
    "use",
]
