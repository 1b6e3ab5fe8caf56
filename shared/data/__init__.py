"""Data sets: folders on disk become lists of dictionaries (``id``, ``group``, ``label``, ``mask``, ``class``)."""

from shared.data.domain_generalisation import evaluation_items
from shared.data.locations import dataset_dir, is_phantom

__all__ = ["dataset_dir", "is_phantom", "evaluation_items"]
