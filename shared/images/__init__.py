"""Image files in and out, for training and inference alike: formats, scaling, layout."""

from shared.images.attribution import Producer, read_producer
from shared.images.formats import check_picture, read_picture, write_picture
from shared.images.picture import Picture, SourceRecord
from shared.images.scaling import IntensityScaling

__all__ = [
    "IntensityScaling",
    "Picture",
    "Producer",
    "SourceRecord",
    "check_picture",
    "read_picture",
    "read_producer",
    "write_picture",
]
