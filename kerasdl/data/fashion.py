"""The real data set `fashion_sample`: 6,000 + 1,000 images of Fashion-MNIST, equally many of each class."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from kerasdl.data import reproducible

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

_PER_CLASS = {"train": 600, "test": 100}


class KerasdlFashionSample(reproducible.ReproducibleBuilder):
    """The first 600 training and 100 test images of each class of Fashion-MNIST.

    Args:
        source: The folder with the raw files: all of Fashion-MNIST as TFDS prepares it, in `tfds/fashion_mnist/3.0.1`.
        **kwargs: As for every TFDS builder, such as `data_dir`.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Photographs of clothes, shoes and bags of ten kinds, 28x28 pixels in grey on black: the first 600 "
                "training and 100 test images of each class of Fashion-MNIST. Any ten images in a row, counted from "
                "the first, have one of each class, so that every slice is balanced."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=CLASSES),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://github.com/zalandoresearch/fashion-mnist",
            license="MIT, Copyright (c) 2017 Zalando SE",
            citation=(
                "@article{xiao2017fashion,\n"
                "  title={Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms},\n"
                "  author={Xiao, Han and Rasul, Kashif and Vollgraf, Roland},\n"
                "  journal={arXiv preprint arXiv:1708.07747},\n"
                "  year={2017}\n"
                "}"
            ),
            # The order below is wanted.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(split) for split in _PER_CLASS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        count = _PER_CLASS[split]
        images: list[list[bytes]] = [[] for _ in CLASSES]
        whole = tfds.builder_from_directory(self.source / "tfds" / "fashion_mnist" / "3.0.1").as_dataset(
            split=split,
            # The PNG files as they are: decoding and encoding them again would change nothing but the bytes.
            decoders={"image": tfds.decode.SkipDecoding()},
        )
        for example in whole.as_numpy_iterator():
            if len(images[example["label"]]) < count:
                images[example["label"]].append(example["image"])
            if all(len(found) == count for found in images):
                break
        rng = np.random.default_rng(0)
        for rank in range(count):
            for place, label in enumerate(rng.permutation(len(CLASSES))):
                index = rank * len(CLASSES) + place
                yield index, {"image": io.BytesIO(images[label][rank]), "label": int(label)}
