"""`load` refuses what is out of range in exact words, with the value received."""

import re

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds

from kerasdl import data

SPLITS = (
    'There are the splits "train" (6,000), "test" (1,000); "train[:80%]", "train[1000:2000]" and "train+test" give '
    "parts and sums of them."
)


@pytest.mark.parametrize("split", ["validation", "train[", "train[:80%", "train[10%]", "train[:7000]", "all[:10]", ""])
def test_splits_that_do_not_exist_are_refused(split):
    message = f"`split` is not one that can be read. {SPLITS} Received: split={split!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        data.load("fashion_sample", split=split)


@pytest.mark.parametrize("split", ["train[:0]", "train[50%:50%]", "train[200:100]", "train[6000:]"])
def test_empty_splits_are_refused(split):
    message = f"`split` must have at least one example. {SPLITS} Received: split={split!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        data.load("fashion_sample", split=split)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        (
            "fashion_sample",
            {"split": ("train", "test")},
            TypeError,
            f"`split` must be a string. {SPLITS} Received: split=('train', 'test').",
        ),
        *(
            (
                "fashion_sample",
                {"batch_size": value},
                ValueError,
                "`batch_size` must be a positive whole number, or None for single examples. "
                f"Received: batch_size={value!r}.",
            )
            for value in (0, -1, 2.0, True, "64")
        ),
        *(
            (
                "fashion_sample",
                {"image_size": value},
                ValueError,
                "`image_size` must be a number of pixels from 1 to 4096, or two of them as (height, width). "
                f"Received: image_size={value!r}.",
            )
            for value in (0, -3, 5000, 2.5, (32,), (32, 32, 3), (32, 0), "64", True)
        ),
        *(
            (
                "fashion_sample",
                {"seed": value},
                ValueError,
                f"`seed` must be a whole number, 0 or more. Received: seed={value!r}.",
            )
            for value in (-1, None, 0.5)
        ),
        (
            "messages",
            {"image_size": 32},
            ValueError,
            "`image_size` is for images, and 'messages' gives none. Received: image_size=(32, 32).",
        ),
        (
            "photos",
            {"batch_size": 3},
            ValueError,
            "The images of 'photos' may differ in size and cannot be batched as they are: give `image_size`, or "
            "batch_size=None.",
        ),
        (
            "fashion_sample",
            {"fields": ("image", "mask")},
            ValueError,
            "`fields` must be names of features of 'fashion_sample', 'image', 'label'. Received: 'mask'.",
        ),
        (
            "fashion_sample",
            {"fields": "image"},
            TypeError,
            "`fields` must be a tuple of names, of 'image', 'label'. Received: fields='image'.",
        ),
    ],
)
def test_what_is_out_of_range_is_refused_with_the_value_received(name, options, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        data.load(name, **options)


def build(folder, features, examples, **info):
    """Prepares a small data set of these features and examples."""

    class KerasdlSmall(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True, **info)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield from enumerate(examples)

    KerasdlSmall(data_dir=folder).download_and_prepare()


def test_sets_that_do_not_say_what_is_y_need_fields(tmp_path):
    features = tfds.features.FeaturesDict({"number": tfds.features.Scalar(np.int64)})
    build(tmp_path, features, [{"number": number} for number in range(3)])
    message = "'kerasdl_small' does not say what is x and what is y: choose some of 'number' with `fields`."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        data.load("kerasdl_small", data_dir=tmp_path)
    rows = data.load("kerasdl_small", data_dir=tmp_path, fields=("number",), batch_size=2)
    assert [row["number"].tolist() for row in rows.as_numpy_iterator()] == [[0, 1], [2]]


def test_features_that_are_no_plain_dictionary_work_too(tmp_path):
    """The translation sets of TFDS have features of their own kind."""
    pairs = [{"en": "a cat", "de": "eine Katze"}, {"en": "a dog", "de": "ein Hund"}]
    build(tmp_path, tfds.features.Translation(("en", "de")), pairs, supervised_keys=("en", "de"))
    rows = data.load("kerasdl_small", data_dir=tmp_path)
    assert list(rows.as_numpy_iterator()) == [(b"a cat", b"eine Katze"), (b"a dog", b"ein Hund")]


def test_masks_of_public_sets_are_told_by_their_names(tmp_path):
    """Many, such as oxford_iiit_pet, store a mask as an image: its classes must not become shades."""
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1)),
        }
    )
    mask = np.repeat(np.repeat(np.array([[1, 2], [3, 1]], "uint8"), 3, 0), 3, 1)[..., None]
    build(tmp_path, features, [{"image": np.full((6, 6, 3), 255, "uint8"), "segmentation_mask": mask}])
    rows = data.load("kerasdl_small", data_dir=tmp_path, fields=("image", "segmentation_mask"), image_size=2)
    (row,) = rows.as_numpy_iterator()
    assert row["segmentation_mask"][..., 0].tolist() == [[1, 2], [3, 1]]
    np.testing.assert_array_equal(row["image"], np.ones((2, 2, 3), "float32"))


def test_a_class_in_the_place_of_a_layer_and_a_list_in_the_place_of_a_name():
    with pytest.raises(TypeError, match="`augment` must be a name, a keras layer or a callable on images"):
        data.load("fashion_sample", augment=keras.layers.RandomFlip)
    with pytest.raises(TypeError, match=r"`name` must be a string such as 'fashion_sample'. Received: name=\['a'\]"):
        data.load(["a"])
