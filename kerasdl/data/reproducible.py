"""What the builders of real data share: they read a folder of raw files and write the same bytes every time."""

import os
from pathlib import Path
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow_datasets as tfds


class ReproducibleBuilder(tfds.core.GeneratorBasedBuilder):
    """A TFDS builder that makes a data set of raw files, the same bytes every time.

    Only maintainers run it: what it writes ships with the package. Subclasses find the folder in `self.source`.

    Args:
        source: The folder with the raw files.
        **kwargs: As for every TFDS builder, such as `data_dir`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}

    def __init__(self, source: str | os.PathLike[str], **kwargs: Any) -> None:
        self.source = Path(source)
        super().__init__(**kwargs)

    def download_and_prepare(self, **kwargs: Any) -> None:
        """Prepares the data.

        Args:
            **kwargs: As for every TFDS builder.
        """
        super().download_and_prepare(**kwargs)
        # Protocol buffers write the features of an example in an order that differs from process to process.
        for path in Path(self.data_path).glob("*.tfrecord-*"):
            records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
            with tf.io.TFRecordWriter(str(path)) as writer:
                for record in records:
                    writer.write(tf.train.Example.FromString(record).SerializeToString(deterministic=True))
