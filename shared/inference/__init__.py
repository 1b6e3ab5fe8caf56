"""Enhancement of image files: read any format, scale, slide the network over it, restore, write."""

from shared.inference.formats import check_picture, read_picture, write_picture
from shared.inference.inferer import EnhancementInferer
from shared.inference.large.images import LargeImages
from shared.inference.listing import find_images, require_input
from shared.inference.monai_label import AnswerMONAILabeld
from shared.inference.picture import Picture, SourceRecord
from shared.inference.producer import Producer, read_producer
from shared.inference.progress import InferenceProgress
from shared.inference.run import enhance_all
from shared.inference.scaling import IntensityScaling, load_scaling
from shared.inference.transforms import LoadSourced, RestoreSourced, SaveEnhancedd
from shared.inference.weights import WeightsLoader

__all__ = [
    "AnswerMONAILabeld",
    "EnhancementInferer",
    "InferenceProgress",
    "IntensityScaling",
    "LargeImages",
    "LoadSourced",
    "Picture",
    "Producer",
    "RestoreSourced",
    "SaveEnhancedd",
    "SourceRecord",
    "WeightsLoader",
    "check_picture",
    "enhance_all",
    "find_images",
    "load_scaling",
    "read_picture",
    "read_producer",
    "require_input",
    "write_picture",
]
