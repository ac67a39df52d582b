"""The figures of the course: arrays in, a matplotlib `Figure` out, legible on a lecture slide.

Figures are made as objects, without `pyplot`: nothing global is left behind, and no display is needed.
"""

from kerasdl.visualization.plots.boxes import box_grid
from kerasdl.visualization.plots.charts import bars, lines, scatter
from kerasdl.visualization.plots.class_timelines import timelines
from kerasdl.visualization.plots.curves import training_curves
from kerasdl.visualization.plots.heatmaps import heatmap
from kerasdl.visualization.plots.images import image_grid
from kerasdl.visualization.plots.landscapes import contours, surfaces
from kerasdl.visualization.plots.matrices import confusion_matrix
from kerasdl.visualization.plots.nodes import graphs
from kerasdl.visualization.plots.overlays import compare_maps, overlay_grid
from kerasdl.visualization.plots.panels import line_panels
from kerasdl.visualization.plots.points import clouds
from kerasdl.visualization.plots.stacks import stacked_bars
from kerasdl.visualization.plots.staircases import staircase
from kerasdl.visualization.plots.style import COLOURS, save
from kerasdl.visualization.plots.unrolled_networks import unrolled
from kerasdl.visualization.plots.words import attention
from kerasdl.visualization.plots.written_texts import passages

__all__ = [
    "COLOURS",
    "attention",
    "bars",
    "box_grid",
    "clouds",
    "compare_maps",
    "confusion_matrix",
    "contours",
    "graphs",
    "heatmap",
    "image_grid",
    "line_panels",
    "lines",
    "overlay_grid",
    "passages",
    "save",
    "scatter",
    "stacked_bars",
    "staircase",
    "surfaces",
    "timelines",
    "training_curves",
    "unrolled",
]
