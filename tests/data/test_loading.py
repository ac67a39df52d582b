"""Every data set in one form: values, types, batches, parts, orders, sizes, fields, and refusals in exact words."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from kerasdl import data
from kerasdl.data import balloons, catalog, pipeline, shapes

FLOAT, INT, STRING = tf.float32, tf.int64, tf.string

# x and y of a batch: type and shape, where None may be any length.
BATCHES = {
    "fashion_sample": ((FLOAT, (8, 28, 28, 1)), (INT, (8,))),
    "messages": ((STRING, (8,)), (INT, (8,))),
    "photos": ((FLOAT, (8, 20, 20, 3)), (INT, (8,))),
    "sentence_pairs": ((STRING, (8,)), (STRING, (8,))),
    "shakespeare": ((STRING, (8,)), (STRING, (8,))),
    "tagged_sentences": ((STRING, (8, None)), (INT, (8, None))),
    "shapes/one": ((FLOAT, (8, 24, 24, 3)), (INT, (8,))),
    "shapes/pair": ((FLOAT, (8, 24, 24, 3)), (STRING, (8,))),
    "balloons": ((FLOAT, (8, None, 24, 24, 3)), (INT, (8, None))),
}
# Wholly in memory as they are, or this test would draw thousands of pictures.
SIZES = {"photos": 20, "shapes/one": 24, "shapes/pair": 24, "balloons": 24}


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """A folder in which drawn data sets have 20 + 10 examples."""
    with pytest.MonkeyPatch.context() as patch:
        for counts in (shapes.COUNTS, balloons.COUNTS):
            patch.setitem(counts, "train", 20)
            patch.setitem(counts, "test", 10)
        yield tmp_path_factory.mktemp("drawings")


@pytest.fixture
def lazy(monkeypatch):
    """Reads nothing before it is asked for, to save time."""
    monkeypatch.setattr(pipeline, "_LARGEST_FILLED_CACHE", 0)


def examples(dataset):
    """Every example of batches as bytes that can be compared."""
    return [
        tuple(part.tobytes() for part in row)
        for batch in dataset.as_numpy_iterator()
        for row in zip(*batch, strict=True)
    ]


def widen(array, shape):
    """Adds padding up to a shape."""
    missing = [(0, wide - have) for have, wide in zip(array.shape[1:], shape[1:], strict=True)]
    return np.pad(array, [(0, 0), *missing], constant_values=b"" if array.dtype == object else 0)


def test_these_are_all_that_ship():
    assert tuple(sorted(BATCHES)) == catalog.INSIDE


@pytest.mark.parametrize("name", BATCHES)
def test_batches_have_the_promised_types_and_shapes(name, drawings):
    dataset = data.load(name, split="train[:9]", batch_size=8, image_size=SIZES.get(name), data_dir=drawings)
    assert len(dataset) == len(list(dataset)) == 2
    batch = next(iter(dataset))
    assert isinstance(batch, tuple)
    for part, (dtype, shape) in zip(batch, BATCHES[name], strict=True):
        assert part.dtype == dtype
        assert part.shape.is_compatible_with(shape)
        assert part.shape.rank == len(shape)
    for part, spec in zip(batch, dataset.element_spec, strict=True):
        assert spec.is_compatible_with(part) or part.shape[0] == 8
    if batch[0].dtype == FLOAT:
        assert np.min(batch[0]) >= 0
        assert 0.5 < np.max(batch[0]) <= 1


@pytest.mark.parametrize("name", BATCHES)
def test_two_parts_of_a_split_are_the_whole_and_disjoint(name, drawings, lazy):
    options = {"image_size": SIZES.get(name), "data_dir": drawings, "batch_size": 100_000}
    # The smallest split, to save time.
    name_of_split = min(reversed(data.info(name).counts.items()), key=lambda item: item[1])[0]
    whole, first, rest = (
        next(data.load(name, split=f"{name_of_split}{part}", **options).as_numpy_iterator())
        for part in ("", "[:80%]", "[80%:]")
    )
    for all_of_it, *parts in zip(whole, first, rest, strict=True):
        assert len(parts[0]) == round(0.8 * len(all_of_it)) > 0
        assert len(parts[1]) > 0
        joined = np.concatenate([widen(part, all_of_it.shape) for part in parts])
        assert (joined == all_of_it).all()


@pytest.mark.parametrize("name", catalog.SHIPPED)
def test_what_info_says_is_what_load_gives(name, lazy):
    summary = data.info(name)
    assert summary.name == name
    assert summary.description
    assert "train" in summary.counts
    for split, count in summary.counts.items():
        assert len(data.load(name, split=split)) == count
    printed = str(summary)
    assert printed.startswith(f"{name}: ")
    assert summary.license in printed


def test_info_names_the_classes_of_labels_and_of_sequences_of_labels():
    assert data.info("messages").classes == ("ham", "spam")
    assert data.info("balloons").classes == ("intact", "popping", "popped", "absent")
    assert len(data.info("tagged_sentences").classes) == 17
    assert data.info("sentence_pairs").classes == ()
    assert set(data.info("shapes/one").features) == {"image", "label", "color", "mask", "box"}
    assert isinstance(data.info("shapes/one").features["mask"], tfds.features.LabeledImage)


def test_text_is_padded_with_empty_words_and_tag_zero():
    words, tags = next(iter(data.load("tagged_sentences", split="train[:64]", batch_size=64)))
    singles = list(data.load("tagged_sentences", split="train[:64]").as_numpy_iterator())
    for row, tag_row, (sentence, sentence_tags) in zip(words.numpy(), tags.numpy(), singles, strict=True):
        assert row[: len(sentence)].tolist() == sentence.tolist()
        assert tag_row[: len(sentence)].tolist() == sentence_tags.tolist()
        assert set(row[len(sentence) :]) <= {b""}
        assert set(tag_row[len(sentence) :]) <= {0}
    assert words.shape[1] == max(len(sentence) for sentence, _ in singles)


def test_clips_are_padded_with_frames_of_zeros(drawings):
    options = {"image_size": 24, "data_dir": drawings}
    clips, labels = next(iter(data.load("balloons", batch_size=20, **options)))
    singles = list(data.load("balloons", **options).as_numpy_iterator())
    assert len({len(clip) for clip, _ in singles}) > 1
    for clip, label, (alone, alone_labels) in zip(clips.numpy(), labels.numpy(), singles, strict=True):
        np.testing.assert_array_equal(clip[: len(alone)], alone)
        np.testing.assert_array_equal(label[: len(alone)], alone_labels)
        assert not clip[len(alone) :].any()
        assert alone.any((1, 2, 3)).all()


def test_shuffling_keeps_every_example_and_follows_the_seed():
    options = {"split": "test", "batch_size": 100}
    plain = examples(data.load("fashion_sample", **options))
    assert examples(data.load("fashion_sample", **options)) == plain
    one = data.load("fashion_sample", shuffle=True, seed=1, **options)
    first, second = examples(one), examples(one)
    assert sorted(first) == sorted(second) == sorted(plain)
    assert plain != first != second
    assert examples(data.load("fashion_sample", shuffle=True, seed=1, **options)) == first
    assert examples(data.load("fashion_sample", shuffle=True, seed=2, **options)) != first
    # From anywhere to anywhere, not only to near by.
    places = {example: place for place, example in enumerate(plain)}
    moves = np.array([abs(places[example] - place) for place, example in enumerate(first)])
    assert moves.mean() > 0.25 * len(plain)


def test_resizing_agrees_with_pillow():
    plain = {int(label): image for image, label in data.load("photos").as_numpy_iterator()}
    for image, label in data.load("photos", image_size=(40, 60)).as_numpy_iterator():
        picture = Image.fromarray(np.rint(255 * plain[int(label)]).astype("uint8"))
        expected = np.asarray(picture.resize((60, 40), Image.Resampling.BILINEAR)) / 255
        # Both round to whole shades; Pillow does it between rows and columns too.
        np.testing.assert_allclose(image, expected, atol=2.01 / 255)


def test_fields_give_dictionaries_and_masks_keep_their_classes(drawings):
    fields = ("image", "mask", "box", "label")
    options = {"data_dir": drawings, "fields": fields}
    native = list(data.load("shapes/one", image_size=24, **options).as_numpy_iterator())
    for example in native:
        assert set(example) == set(fields)
        assert example["image"].dtype == np.float32
        assert example["image"].max() <= 1
        assert set(np.unique(example["mask"])) == {0, 1}
        # The box, in parts of the side, goes around the mask.
        rows, columns = np.nonzero(example["mask"][..., 0])
        expected = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) / 24
        np.testing.assert_allclose(example["box"], expected, atol=1e-6)
    batch = next(iter(data.load("shapes/one", image_size=24, batch_size=20, **options)))
    np.testing.assert_array_equal(batch["mask"], [example["mask"] for example in native])


def test_masks_are_resized_without_new_classes(drawings):
    options = {"data_dir": drawings, "fields": ("mask",)}
    default = [e["mask"] for e in data.load("shapes/one", **options).as_numpy_iterator()]
    half = [e["mask"] for e in data.load("shapes/one", image_size=(32, 16), **options).as_numpy_iterator()]
    for mask, small in zip(default, half, strict=True):
        # The pixel under the middle of each new one.
        np.testing.assert_array_equal(small, mask[1::2, 2::4])


def test_only_what_is_wanted_is_decoded(drawings, monkeypatch):
    decoded = []
    decode = tfds.features.Image.decode_example
    monkeypatch.setattr(
        tfds.features.Image, "decode_example", lambda self, e: decoded.append(type(self)) or decode(self, e)
    )
    data.load("shapes/one", image_size=24, data_dir=drawings)
    assert decoded == [tfds.features.Image]


def test_large_sets_are_read_from_the_disk_in_every_epoch(monkeypatch):
    expected = examples(data.load("fashion_sample", split="test", batch_size=64))
    for name in ("_LARGEST_CACHE", "_LARGEST_FILLED_CACHE"):
        monkeypatch.setattr(pipeline, name, 0)
    monkeypatch.setattr(pipeline, "_STREAMED_SHUFFLE", 100)
    assert examples(data.load("fashion_sample", split="test", batch_size=64)) == expected
    shuffled = data.load("fashion_sample", split="test", shuffle=True, batch_size=1000)
    assert np.bincount(next(iter(shuffled))[1]).tolist() == [100] * 10


def test_memory_is_filled_before_the_first_batch(capfd):
    """Looking at one batch must not make TensorFlow warn of a half-read cache."""
    next(iter(data.load("fashion_sample", split="test", batch_size=8)))
    assert "cache" not in capfd.readouterr().err


def test_it_trains_with_keras():
    inputs = keras.Input((28, 28, 1))
    outputs = keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    train = data.load("fashion_sample", batch_size=100, shuffle=True)
    test = data.load("fashion_sample", split="test", batch_size=500)
    model.fit(train, epochs=2, verbose=0, shuffle=False)
    assert model.evaluate(test, verbose=0, return_dict=True)["accuracy"] > 0.7


@pytest.mark.parametrize(
    ("split", "count"),
    [
        *(("train[:10]", 10), ("train[-10:]", 10), ("train[:-5900]", 100), ("train[10%:15%]", 300)),
        *(("train[:10]+test[:5]", 15), ("all", 7000), ("train[59%:60%]+test[:1%]", 70)),
    ],
)
def test_parts_and_sums_have_the_length_they_say(split, count, lazy):
    assert len(data.load("fashion_sample", split=split)) == count
    assert len(examples(data.load("fashion_sample", split=split, batch_size=999))) == count


@pytest.mark.slow
def test_heavy_libraries_are_imported_only_when_needed():
    code = (
        "import sys, keras\n"
        "before = set(sys.modules)\n"  # Keras 3.15 itself imports matplotlib and scikit-learn where they are.
        "import kerasdl\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
        "kerasdl.data.load('fashion_sample', batch_size=8)\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "assert not new & {'matplotlib', 'numba', 'sklearn'}, new"
    )
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
