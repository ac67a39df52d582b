"""Every data set in one form: what ships inside, what is drawn, one's own folders of images and all of TFDS."""

from kerasdl.data.loading import from_folder, info, load
from kerasdl.data.summaries import DatasetSummary

__all__ = ["DatasetSummary", "from_folder", "info", "load"]
