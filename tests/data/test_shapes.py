import colorsys
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid

from kerasdl.data import shapes


@pytest.fixture(scope="module")
def ones():
    return [shapes.draw_one(np.random.default_rng([1, i]), i % 10, 64) for i in range(1000)]


@pytest.fixture(scope="module")
def pairs():
    return [shapes.draw_pair(np.random.default_rng([2, i]), 64) for i in range(300)]


def box_pixels(box, size):
    top, left, bottom, right = np.rint(box * size).astype(int)
    return slice(top, bottom), slice(left, right)


def check_mask(image, mask):
    """The mask against the picture alone: the object is one patch of one single colour."""
    mask = mask[:, :, 0].astype(bool)
    colors, counts = np.unique(image[mask], axis=0, return_counts=True)
    flat = (image == colors[counts.argmax()]).all(axis=-1)
    patches, _ = ndimage.label(flat, structure=np.ones((3, 3)))
    numbers = np.bincount(patches[mask & flat])
    patch = patches == numbers.argmax()
    # Every pixel of that colour which hangs together lies in the mask; the mask goes at most one pixel (the blended
    # edge) beyond it, and at thin ends (a crescent's horns) that pixel may stand alone.
    assert not (patch & ~mask).any()
    beyond = mask & ~ndimage.binary_dilation(patch, np.ones((3, 3)))
    assert beyond.sum() <= 4
    # Just outside nothing has the object's colour: half a pixel of it at most.
    outside = ndimage.binary_dilation(mask, np.ones((3, 3))) & ~mask
    assert not (outside & flat).any()


def test_masks_are_exact(ones):
    for example in ones[:200]:
        check_mask(example["image"], example["mask"])


def test_edges_are_blended_half_and_half(ones):
    # Along the mask's edge the object covers between half and all of a pixel inside, and less than half outside, so
    # inside pixels are nearer to the object's colour than to what is around it.
    inside, outside = [], []
    for example in ones[:200]:
        mask = example["mask"][:, :, 0].astype(bool)
        image = example["image"].astype(float)
        colors, counts = np.unique(example["image"][mask], axis=0, return_counts=True)
        away = np.linalg.norm(image - colors[counts.argmax()], axis=-1)
        ring = ndimage.binary_dilation(mask, iterations=3) & ~ndimage.binary_dilation(mask)
        share = away / np.median(away[ring])
        inside.append(np.median(share[mask & ~ndimage.binary_erosion(mask)]))
        outside.append(np.median(share[ndimage.binary_dilation(mask) & ~mask]))
    assert np.mean(inside) < 0.25
    assert np.mean(outside) > 0.6


def test_objects_lie_wholly_inside_and_are_of_sensible_size(ones):
    for example in ones:
        mask = example["mask"]
        assert mask.dtype == np.uint8
        assert mask.shape == (64, 64, 1)
        assert set(np.unique(mask)) == {0, 1}
        assert mask[1:-1, 1:-1].sum() == mask.sum()
        assert 0.03 < mask.mean() < 0.095


def test_a_guess_at_the_centre_hits_under_30_percent(ones):
    hits = np.mean([example["mask"][31:33, 31:33].mean() for example in ones])
    assert 0.1 < hits < 0.28


def test_boxes_go_around_masks(ones):
    for example in ones[:200]:
        rows, columns = np.nonzero(example["mask"][:, :, 0])
        top, left, bottom, right = example["box"] * 64
        assert (top, left, bottom, right) == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)


def test_colour_place_and_size_do_not_tell_the_kind(ones):
    labels = np.array([example["label"] for example in ones])
    np.testing.assert_array_equal(np.bincount(labels), np.full(10, 100))
    masks = np.stack([example["mask"][:, :, 0] for example in ones]).astype(bool)
    images = np.stack([example["image"] for example in ones]) / 255
    rows, columns = np.mgrid[:64, :64]
    areas = masks.sum(axis=(1, 2))
    facts = {
        "whole colour": images.mean(axis=(1, 2)),
        "object's colour": np.stack(
            [np.median(image[mask], axis=0) for image, mask in zip(images, masks, strict=True)]
        ),
        "place": np.stack([(masks * rows).sum((1, 2)) / areas, (masks * columns).sum((1, 2)) / areas], axis=1),
        "area": areas[:, None],
    }
    for name, values in facts.items():
        # One-way analysis of variance: F is near 1 where classes do not differ; with 9 and 990 degrees of freedom it
        # exceeds 3.5 by chance less than once in 3,000 times.
        means = np.stack([values[labels == label].mean(axis=0) for label in range(10)])
        within = np.mean([values[labels == label].var(axis=0, ddof=1) for label in range(10)], axis=0)
        assert (100 * means.var(axis=0, ddof=1) / within).max() < 3.5, name


def test_classifiers_of_colour_stay_near_chance(ones):
    labels = np.array([example["label"] for example in ones])
    bins = np.stack([(example["image"] // 86) @ [9, 3, 1] for example in ones]).reshape(len(ones), -1)
    histograms = np.sqrt(np.stack([np.bincount(row, minlength=27) for row in bins]) / 4096)
    histograms = histograms[:, histograms.std(axis=0) > 0]
    train, test = slice(0, 700), slice(700, None)
    for classifier in (NearestCentroid(), LogisticRegression(max_iter=2000)):
        classifier.fit(histograms[train], labels[train])
        assert classifier.score(histograms[test], labels[test]) < 0.16


def test_pairs_are_described_truly(pairs):
    hues = {"red": 0, "orange": 32, "yellow": 53, "green": 130, "blue": 224, "purple": 282}
    relations = set()
    for example in pairs:
        match = re.fullmatch(r"(an?) (\w+) (\w+) (above|below|left of|right of) (an?) (\w+) (\w+)", example["caption"])
        article_1, color_1, kind_1, relation, article_2, color_2, kind_2 = match.groups()
        relations.add(relation)
        assert (color_1, kind_1) != (color_2, kind_2)
        assert {kind_1, kind_2} <= set(shapes.KINDS)
        masks = [example[name][:, :, 0].astype(bool) for name in ("first_mask", "second_mask")]
        assert not (masks[0] & masks[1]).any()
        assert masks[0].sum() > 1.6 * masks[1].sum()
        for article, color, mask in zip((article_1, article_2), (color_1, color_2), masks, strict=True):
            assert article == ("an" if color == "orange" else "a")
            hue, saturation, value = colorsys.rgb_to_hsv(*np.median(example["image"][mask] / 255, axis=0))
            if color in hues:
                assert abs((360 * hue - hues[color] + 180) % 360 - 180) < 9, color
                assert saturation > 0.6
                assert value > 0.5
            else:
                assert (value > 0.9 and saturation < 0.1) if color == "white" else value < 0.15
        (rows_1, columns_1), (rows_2, columns_2) = (np.nonzero(mask) for mask in masks)
        assert {
            "above": rows_1.max() < rows_2.min(),
            "below": rows_2.max() < rows_1.min(),
            "left of": columns_1.max() < columns_2.min(),
            "right of": columns_2.max() < columns_1.min(),
        }[relation]
        down, right = abs(rows_2.mean() - rows_1.mean()), abs(columns_2.mean() - columns_1.mean())
        assert (down > 1.7 * right) if relation in ("above", "below") else (right > 1.7 * down)
    assert relations == set(shapes.RELATIONS)


def test_each_word_has_its_box(pairs):
    for example in pairs[:200]:
        words, boxes = example["words"], example["word_boxes"]
        assert " ".join(words) == example["caption"]
        assert len(words) == len(boxes)
        first, second = example["first_mask"], example["second_mask"]
        for word, box, position in zip(words, boxes, range(len(words)), strict=True):
            of = first if position < 3 else second if position >= len(words) - 3 else first | second
            inside = box_pixels(box, 64)
            assert of[inside].sum() == of.sum(), word
            assert all(of[inside].any(axis=(axis, 2))[[0, -1]].all() for axis in (0, 1)), word


def test_pair_masks_are_exact(pairs):
    for example in pairs[:200]:
        check_mask(example["image"], example["first_mask"])
        check_mask(example["image"], example["second_mask"])


@pytest.mark.parametrize("size", [24, 128])
def test_every_size_shows_the_same_picture(size):
    for index in range(8):
        usual = shapes.draw_one(np.random.default_rng(index), index, 64)
        other = shapes.draw_one(np.random.default_rng(index), index, size)
        assert other["image"].shape == (size, size, 3)
        smaller = min(size, 64)
        reduced = [
            np.asarray(Image.fromarray(example["image"]).resize((smaller, smaller), Image.Resampling.BOX), float)
            for example in (usual, other)
        ]
        assert np.abs(reduced[0] - reduced[1]).mean() < 8
        np.testing.assert_allclose(other["box"], usual["box"], atol=0.05)
        caption = shapes.draw_pair(np.random.default_rng(index), size)["caption"]
        assert caption == shapes.draw_pair(np.random.default_rng(index), 64)["caption"]


@pytest.mark.parametrize("kind", ["one", "pair"])
def test_builder_gives_the_same_bytes_each_time(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(shapes, "COUNTS", {"train": 30, "test": 10})
    files = []
    for folder in ("first", "second"):
        builder = shapes.KerasdlShapes(config=shapes.ShapesConfig(kind=kind, size=32), data_dir=tmp_path / folder)
        builder.download_and_prepare()
        files.append({path.name: path.read_bytes() for path in sorted((tmp_path / folder).rglob("*.tfrecord*"))})
    assert files[0] == files[1]
    assert len(files[0]) == 2
    assert builder.info.full_name == f"kerasdl_shapes/{kind}_32/1.0.0"
    # Every stored example is one that the drawing functions give, and decodes to the same numbers.
    examples = list(tfds.as_numpy(tfds.builder_from_directory(builder.data_path).as_dataset(split="train")))
    assert len(examples) == 30
    drawn = {}
    for index in range(30):
        rng = np.random.default_rng([shapes._SEEDS[kind], 0, index])
        example = shapes.draw_one(rng, index % 10, 32) if kind == "one" else shapes.draw_pair(rng, 32)
        drawn[example["image"].tobytes()] = example
    for example in examples:
        expected = drawn.pop(example["image"].tobytes())
        if kind == "one":
            assert shapes.COLORS[example["color"]] == expected["color"]
            assert example["label"] == expected["label"]
            np.testing.assert_array_equal(example["mask"], expected["mask"])
            np.testing.assert_allclose(example["box"], expected["box"])
        else:
            assert example["caption"].decode() == expected["caption"]
            assert [word.decode() for word in example["words"]] == expected["words"]
            np.testing.assert_allclose(example["word_boxes"], expected["word_boxes"])
            np.testing.assert_array_equal(example["first_mask"], expected["first_mask"])
            np.testing.assert_array_equal(example["second_mask"], expected["second_mask"])
    image, target = next(iter(tfds.as_numpy(builder.as_dataset(split="test", as_supervised=True))))
    assert image.shape == (32, 32, 3)
    assert isinstance(target, bytes) if kind == "pair" else 0 <= target < 10


@pytest.mark.parametrize("size", [16, 513, 64.0, "64", True])
def test_sizes_out_of_range_are_refused(size):
    text = f"`size` must be a whole number of pixels from 24 to 512. Received: size={size!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        shapes.ShapesConfig(size=size)


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match=r'^`kind` must be "one" or "pair"\. Received: kind=\'two\'\.$'):
        shapes.ShapesConfig(kind="two")
