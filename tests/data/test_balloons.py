import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from kerasdl.data import balloons


@pytest.fixture(scope="module")
def clips():
    stories = balloons.STORIES
    return [balloons.draw_clip(np.random.default_rng([3, i]), stories[i % 8], 24) for i in range(480)]


def test_labels_follow_from_what_was_seen_before(clips):
    lengths, counts = [], dict.fromkeys(balloons.LABELS, 0)
    for index, example in enumerate(clips):
        labels = example["labels"]
        assert len(labels) == len(example["clip"])
        lengths.append(len(labels))
        for label in labels:
            counts[label] += 1
        # The whole grammar: a balloon that pops, one that does not, or none. So "popped" is "no balloon to be seen, but
        # there was one", and whoever remembers is never wrong.
        told = "".join({"intact": "i", "popping": "b", "popped": "p", "absent": "a"}[label] for label in labels)
        story = balloons.STORIES[index % 8]
        assert re.fullmatch({"pop": "i{4,8}bbp{6,10}", "absent": "a+"}.get(story, "i+"), told)
    assert set(lengths) == set(range(12, 21))
    assert 0.9 < counts["popped"] / counts["absent"] < 1.1


@pytest.mark.parametrize("seed", range(6))
def test_after_the_pop_the_clip_is_the_one_without_a_balloon(seed):
    pop, absent, passed, stop = (
        balloons.draw_clip(np.random.default_rng(seed), story, 48) for story in ("pop", "absent", "pass", "stop")
    )
    popped = np.array([label == "popped" for label in pop["labels"]])
    np.testing.assert_array_equal(pop["clip"][popped], absent["clip"][popped])
    assert all((pop["clip"][i] != absent["clip"][i]).any() for i in np.flatnonzero(~popped))
    assert pop["clip"].shape == absent["clip"].shape == passed["clip"].shape == stop["clip"].shape
    # The way back is the way there: each frame after the rest is one from before it, as far as both ways go.
    frames = absent["clip"]
    first_rest = list(pop["labels"]).index("popping")
    for step in range(1, min(first_rest, len(frames) - first_rest - 3)):
        np.testing.assert_array_equal(frames[first_rest - step], frames[first_rest + 3 + step])
    np.testing.assert_array_equal(frames[first_rest], frames[first_rest + 3])


def test_a_pin_that_misses_does_not_touch_the_balloon():
    for seed in range(20):
        for story in ("pass", "stop"):
            scene = balloons._draw_scene(np.random.default_rng(seed), 96)
            clip = balloons.draw_clip(np.random.default_rng(seed), story, 96)["clip"]
            # The balloon never loses a pixel: its middle always has its colour.
            column, row = (scene.center * 96).astype(int)
            assert (clip[:, row, column] == scene.shade).all()


def _balloonless_frames(clips):
    """As many popped as absent frames, of distinct clips: `(pixels, is popped, clip number)`."""
    pixels, popped, groups = [], [], []
    for number, example in enumerate(clips):
        rng = np.random.default_rng(number)
        choice = [i for i, label in enumerate(example["labels"]) if label in ("popped", "absent")]
        # Three frames of a clip with a pop and six of one without, of which there are half as many.
        for i in rng.permutation(choice)[: 3 if "popped" in example["labels"] else 6]:
            pixels.append(example["clip"][i].ravel() / 255)
            popped.append(example["labels"][i] == "popped")
            groups.append(number)
    return np.stack(pixels), np.array(popped), np.array(groups)


@pytest.mark.parametrize(
    "classifier",
    [
        LogisticRegression(C=0.01, max_iter=300),
        KNeighborsClassifier(5),
        RandomForestClassifier(60, min_samples_leaf=3, random_state=0),
    ],
    ids=lambda classifier: type(classifier).__name__,
)
def test_no_single_frame_tells_popped_from_absent(clips, classifier):
    pixels, popped, groups = _balloonless_frames(clips)
    assert popped.mean() == pytest.approx(0.5)
    train = groups < 320
    classifier.fit(pixels[train], popped[train])
    # 360 frames of 120 clips: chance is 50 %, and frames of one clip go together.
    assert abs(classifier.score(pixels[~train], popped[~train]) - 0.5) < 0.1


def test_a_single_frame_does_tell_the_rest(clips):
    # The check above has teeth: the same kind of classifier sees at once whether there is a balloon.
    frames = [(example["clip"][i], example["labels"][i]) for example in clips for i in (0, len(example["clip"]) - 1)]
    pixels = np.stack([frame.ravel() / 255 for frame, _ in frames])
    there = np.array([label == "intact" for _, label in frames])
    classifier = RandomForestClassifier(60, min_samples_leaf=3, random_state=0).fit(pixels[:640], there[:640])
    assert classifier.score(pixels[640:], there[640:]) > 0.75


def test_pins_move_alike_before_a_pop_and_after(clips):
    # Where the pin may be is a matter of its distance, its way and its point; the last two hold for the whole clip.
    there, back = np.array(
        [
            (
                list(example["labels"]).index("popping"),
                len(example["labels"]) - list(example["labels"]).index("popping") - 4,
            )
            for example in clips
            if "popping" in example["labels"]
        ]
    ).T
    for way in (there, back):
        counts = np.bincount(way, minlength=9)[4:]
        expected = len(way) / 5
        # Chi-squared with four degrees of freedom: above 18.5 once in a thousand.
        assert ((counts - expected) ** 2 / expected).sum() < 18.5
    assert abs(np.corrcoef(there, back)[0, 1]) < 0.2


def test_no_frame_is_padding(clips):
    assert min(frame.min() for example in clips for frame in example["clip"].max(axis=(1, 2, 3))) > 60


def test_builder_gives_the_same_bytes_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(balloons, "COUNTS", {"train": 10, "test": 3})
    files = []
    for folder in ("first", "second"):
        builder = balloons.KerasdlBalloons(config=balloons.BalloonsConfig(size=24), data_dir=tmp_path / folder)
        builder.download_and_prepare()
        files.append({path.name: path.read_bytes() for path in sorted((tmp_path / folder).rglob("*.tfrecord*"))})
    assert files[0] == files[1]
    assert len(files[0]) == 2
    assert builder.info.full_name == "kerasdl_balloons/24/1.0.0"
    expected = {}
    for index in range(10):
        example = balloons.draw_clip(np.random.default_rng([balloons._SEED, 0, index]), balloons.STORIES[index % 8], 24)
        expected[example["clip"].tobytes()] = example["labels"]
    opened = tfds.builder_from_directory(builder.data_path)
    for clip, labels in tfds.as_numpy(opened.as_dataset(split="train", as_supervised=True)):
        assert [balloons.LABELS[label] for label in labels] == expected.pop(clip.tobytes())
    assert not expected


@pytest.mark.parametrize("size", [16, 257, 48.0, True])
def test_sizes_out_of_range_are_refused(size):
    text = f"`size` must be a whole number of pixels from 24 to 256. Received: size={size!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        balloons.BalloonsConfig(size=size)
