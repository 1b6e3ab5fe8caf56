"""Reports of an evaluation: per-image values, summary, tables and a panel of images."""

from shared.reporting.baselines import non_local_means
from shared.reporting.evaluation_panel import PanelRow, draw_panel
from shared.reporting.report import EnhancementReport
from shared.reporting.rows import ImageRow, Recognition
from shared.reporting.summary import summarise
from shared.reporting.tables import per_image_csv, quality_table, recognition_table, stability_table, text_table

__all__ = [
    "EnhancementReport",
    "ImageRow",
    "PanelRow",
    "Recognition",
    "draw_panel",
    "non_local_means",
    "per_image_csv",
    "quality_table",
    "recognition_table",
    "stability_table",
    "summarise",
    "text_table",
]
