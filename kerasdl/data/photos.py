"""The real data set `photos`: nine free photographs and textures to look at what a network sees."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sklearn.datasets
import tensorflow_datasets as tfds

from kerasdl.data import reproducible

# File: what it shows, who made it and under which terms.
PHOTOS = {
    "astronaut.jpg": ("The astronaut Eileen Collins", "NASA, public domain"),
    "chelsea.jpg": ("Chelsea the cat", "Stefan van der Walt, CC0 1.0"),
    "china.jpg": ("A pavilion of the Summer Palace in Beijing", "danielbuechele, CC BY 2.0"),
    "coffee.jpg": ("A cup of coffee", "Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0 1.0"),
    "flower.jpg": ("A dahlia", "vultilion, CC BY 2.0"),
    "rocket.jpg": ("A Falcon 9 rocket carrying DSCOVR", "SpaceX, public domain"),
    "brick.jpg": ("Texture: a brick wall", "CC0Textures, CC0 1.0"),
    "grass.jpg": ("Texture: grass", "linolafett, CC0 1.0"),
    "gravel.jpg": ("Texture: gravel", "CC0Textures, CC0 1.0"),
}
_FROM_SCIKIT_LEARN = ("china.jpg", "flower.jpg")


class KerasdlPhotos(reproducible.ReproducibleBuilder):
    """Six photographs and three textures, each a class of its own.

    Args:
        source: The folder with scikit-image's pictures in `photos_free`. Those of scikit-learn are in its package.
        **kwargs: As for every TFDS builder, such as `data_dir`.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Nine pictures of different sizes, 298 to 640 pixels a side: an astronaut, a cat, a pavilion, a cup of "
                "coffee, a flower, a rocket, and the textures brick, grass and gravel (in grey). There is one split, "
                '"train", with all of them.'
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names=[Path(file).stem for file in PHOTOS]),
                    "title": tfds.features.Text(),
                    "credit": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://scikit-image.org/docs/stable/api/skimage.data.html",
            license="CC0 1.0, public domain and CC BY 2.0: `credit` says which, LICENSE.txt says all",
            # In the order of the labels.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        scikit_learn = Path(sklearn.datasets.__file__).parent / "images"
        for index, (file, (title, credit)) in enumerate(PHOTOS.items()):
            folder = scikit_learn if file in _FROM_SCIKIT_LEARN else self.source / "photos_free"
            yield index, {"image": folder / file, "label": Path(file).stem, "title": title, "credit": credit}
