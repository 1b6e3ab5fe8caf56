"""Reports of an evaluation: per-image values, summary, tables and a panel of images."""

from shared.reporting.baselines import bm3d_if_installed, enlarged_non_local_means, median, non_local_means
from shared.reporting.evaluation_panel import PanelRow, draw_panel
from shared.reporting.per_image import per_image_csv, read_quality
from shared.reporting.report import EnhancementReport
from shared.reporting.rows import ImageRow, Recognition
from shared.reporting.stability import stability_curves
from shared.reporting.summary import summarise
from shared.reporting.tables import quality_table, recognition_table, stability_table, text_table

__all__ = [
    "EnhancementReport",
    "ImageRow",
    "PanelRow",
    "Recognition",
    "bm3d_if_installed",
    "draw_panel",
    "enlarged_non_local_means",
    "median",
    "non_local_means",
    "per_image_csv",
    "quality_table",
    "read_quality",
    "recognition_table",
    "stability_curves",
    "stability_table",
    "summarise",
    "text_table",
]
