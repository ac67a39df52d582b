"""Segmentation: the cheapest of all masks of a small grid, objects of known place, and what is refused."""

import itertools

import numpy as np
import pytest

from kerasdl.visualization import segment
from kerasdl.visualization.segmentation import minimum_cut, neighbour_prices


def cost(mask, evidence, image, smoothness):
    """The energy as the paper on the graph cut writes it, pair by pair."""
    height, width = mask.shape
    pairs = [
        ((r, c), (r + i, c + j))
        for r in range(height)
        for c in range(width)
        for i, j in ((0, 1), (1, 0), (1, 1), (1, -1))
        if r + i < height and 0 <= c + j < width
    ]
    mean = np.mean([((image[a] - image[b]) ** 2).sum() for a, b in pairs])
    total = -evidence[mask].sum()
    for a, b in pairs:
        if mask[a] != mask[b]:
            distance = np.hypot(a[0] - b[0], a[1] - b[1])
            total += smoothness * np.exp(-((image[a] - image[b]) ** 2).sum() / (2 * mean)) / distance
    return total


@pytest.mark.parametrize("seed", range(4))
def test_the_cut_is_the_cheapest_of_all_masks(seed):
    random = np.random.default_rng(seed)
    image = random.uniform(size=(3, 3, 3))
    evidence = random.normal(size=(3, 3))
    smoothness = (0.0, 0.2, 0.5, 2.0)[seed]
    mask = minimum_cut(evidence, neighbour_prices(image, smoothness))
    masks = [np.array(bits).reshape(3, 3) for bits in itertools.product([False, True], repeat=9)]
    costs = [cost(each, evidence, image, smoothness) for each in masks]
    assert cost(mask, evidence, image, smoothness) == pytest.approx(min(costs), abs=1e-6)
    np.testing.assert_array_equal(mask, masks[int(np.argmin(costs))])
    if smoothness == 0:
        np.testing.assert_array_equal(mask, evidence > 0)


def scene(noise=0.05):
    """A red disc on green and blue stripes, with a second, smaller one, and a map that marks the large one's middle."""
    random = np.random.default_rng(0)
    row, column = np.mgrid[:40, :40]
    large = np.hypot(row - 14, column - 15) < 8
    small = np.hypot(row - 34, column - 34) < 3
    image = np.where((column // 4 % 2)[..., None], [0.1, 0.7, 0.2], [0.1, 0.2, 0.8])
    image[large | small] = [0.9, 0.2, 0.1]
    marks = np.exp(-((row - 14) ** 2 + (column - 15) ** 2) / 60) + random.uniform(0, 0.2, (40, 40))
    return marks, image + random.normal(0, noise, image.shape), large


def test_an_object_is_cut_out_to_the_pixel_and_other_objects_of_its_colour_are_not():
    marks, image, large = scene()
    masks = segment(np.stack([marks, marks]), np.stack([image, image * 255 - 100]))
    np.testing.assert_array_equal(masks[0], large)
    np.testing.assert_array_equal(masks[1], large)  # whatever the images' range


def test_smoothness_mends_what_colours_leave_open():
    marks, image, large = scene(noise=0.35)
    rough, smooth = (segment(marks[None], image[None], smoothness=value)[0] for value in (0.0, 2.0))
    assert (smooth != large).mean() < 0.5 * (rough != large).mean()


def test_masks_are_the_same_in_every_run():
    marks, image, _ = scene(noise=0.3)
    first, second = (segment(marks[None], image[None], seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_map_of_few_marked_pixels_marks_them():
    # Nine tenths and more of the map are zero, as of a rectified gradient; here the object is one bright pixel.
    image, marks = np.zeros((1, 8, 8, 1)), np.zeros((1, 8, 8))
    image[0, 3, 4] = marks[0, 3, 4] = 1
    mask = segment(marks, image, foreground=0.95, smoothness=0.1)
    np.testing.assert_array_equal(np.argwhere(mask), [[0, 3, 4]])


def test_where_colours_tell_nothing_nothing_is_cut_out():
    marks, _, _ = scene()
    assert not segment(marks[None], np.full((1, 40, 40, 3), 0.5)).any()


def test_a_map_that_is_the_same_everywhere_marks_nothing_and_says_so():
    with pytest.warns(UserWarning, match=r"^1 of 2 maps are the same everywhere and mark nothing: their masks are e"):
        masks = segment(
            np.stack([np.zeros((8, 8)), np.eye(8)]), np.random.default_rng(0).uniform(size=(2, 8, 8, 3)), smoothness=0
        )
    assert not masks[0].any()
    assert masks[1].any()


@pytest.mark.parametrize(
    ("maps", "arguments", "message"),
    [
        (np.zeros((1, 4, 5)), {}, r"^`maps` must have shape .* shapes \(1, 4, 5\) and \(1, 4, 4, 3\)\.$"),
        (np.full((1, 4, 4), np.nan), {}, r"^`maps` and `images` must be finite\. Received: nan or infinity\.$"),
        (np.zeros((1, 4, 4)), {"foreground": 0.2}, r"quantiles, .* Received: background=0\.3, foreground=0\.2\.$"),
        (np.zeros((1, 4, 4)), {"components": 0}, r"^`components` must be a whole number of at least 1\. Received: 0\."),
        (np.zeros((1, 4, 4)), {"smoothness": -1}, r"^`smoothness` must be a number of at least 0\. Received: -1\.$"),
    ],
)
def test_refuses(maps, arguments, message):
    with pytest.raises(ValueError, match=message):
        segment(maps, np.zeros((1, 4, 4, 3)), **arguments)
