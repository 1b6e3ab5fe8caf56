"""Enhancement of images by a trained network: find, scale, slide the network over them, restore, write."""

from shared.inference.all_images import enhance_all
from shared.inference.inferer import EnhancementInferer
from shared.inference.large.images import LargeImages
from shared.inference.listing import find_images, require_input
from shared.inference.monai_label import AnswerMONAILabeld
from shared.inference.progress import InferenceProgress
from shared.inference.trained import WeightsLoader, load_scaling
from shared.inference.transforms import LoadSourced, RestoreSourced, SaveEnhancedd

__all__ = [
    "AnswerMONAILabeld",
    "EnhancementInferer",
    "InferenceProgress",
    "LargeImages",
    "LoadSourced",
    "RestoreSourced",
    "SaveEnhancedd",
    "WeightsLoader",
    "enhance_all",
    "find_images",
    "load_scaling",
    "require_input",
]
