import numpy as np
import pytest
from PIL import Image

from kerasdl.data import drawing, figures, textures


def inside(outline, x, y):
    """Whether points lie inside a polygon, by counting the edges that a ray to the right crosses."""
    crossings = np.zeros(x.shape, int)
    for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y1 != y2:
            crossings += ((y1 <= y) != (y2 <= y)) & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return crossings % 2 == 1


@pytest.mark.parametrize("kind", figures.KINDS)
def test_paint_covers_what_lies_inside_the_outline(kind):
    size, finer = 48, 10
    (outline,) = drawing.transform([figures.KINDS[kind]], 0.35, 0.7, np.array([0.52, 0.47]))
    canvas = Image.new("RGB", (size, size), (200, 100, 0))
    covered = drawing.paint(canvas, [outline], (0, 50, 250))
    points = (np.arange(size * finer) + 0.5) / (size * finer)
    exact = inside(outline, *np.meshgrid(points, points)).reshape(size, finer, size, finer).mean(axis=(1, 3))
    # An edge that is 0.04 pixels off, and twice that in a corner.
    np.testing.assert_allclose(covered / 255, exact, atol=0.16)
    assert np.abs(covered / 255 - exact).mean() < 0.006
    blended = exact[:, :, None] * [0, 50, 250] + (1 - exact[:, :, None]) * [200, 100, 0]
    np.testing.assert_allclose(np.asarray(canvas), blended, atol=0.16 * 250)
    np.testing.assert_array_equal(np.asarray(canvas)[covered == 255], [[0, 50, 250]] * (covered == 255).sum())
    np.testing.assert_array_equal(np.asarray(canvas)[covered == 0], [[200, 100, 0]] * (covered == 0).sum())


@pytest.mark.parametrize("kind", figures.KINDS)
def test_kinds_have_area_one_and_turn_about_their_centre_of_gravity(kind):
    side = np.linspace(-1.2, 1.2, 601)
    x, y = np.meshgrid(side, side)
    filled = inside(figures.KINDS[kind], x, y)
    assert filled.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=0.005)
    assert x[filled].mean() == pytest.approx(0, abs=0.005)
    assert y[filled].mean() == pytest.approx(0, abs=0.005)
    assert np.hypot(x, y)[filled].max() <= figures.REACH + 0.005


def test_kinds_differ_at_any_turn():
    points = np.linspace(-1, 1, 101)
    x, y = np.meshgrid(points, points)
    names = list(figures.KINDS)
    turned = {
        name: [
            inside(drawing.transform([figures.KINDS[name]], 1.0, a, np.zeros(2))[0], x, y)
            for a in np.arange(36) / 18 * np.pi
        ]
        for name in names
    }
    for i, name in enumerate(names):
        for other in names[:i]:
            overlap = max((turned[name][0] & b).sum() / (turned[name][0] | b).sum() for b in turned[other])
            assert overlap < 0.85, (name, other, overlap)


def test_transform_scales_turns_and_moves():
    (moved,) = drawing.transform([np.array([[1.0, 0.0]])], 0.5, np.pi / 2, np.array([0.2, 0.3]))
    # A quarter turn takes the right-hand side to the bottom: y points down.
    np.testing.assert_allclose(moved, [[0.2, 0.8]])


def test_stroke_is_as_wide_as_asked():
    canvas = Image.new("RGB", (100, 100))
    covered = drawing.paint(canvas, drawing.stroke(np.array([(0.2, 0.5), (0.8, 0.5)]), 0.1), (255, 255, 255))
    assert covered[:, 50].sum() / 255 == pytest.approx(10, abs=0.2)
    # A rectangle of 60 by 10 pixels and two half discs.
    assert covered.sum() / 255 == pytest.approx(600 + np.pi * 25, rel=0.02)


def test_paint_cuts_off_what_lies_outside():
    canvas = Image.new("RGB", (20, 20))
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    covered = drawing.paint(canvas, [square * 0.5], (9, 9, 9))
    assert covered.sum() / 255 == pytest.approx(100, rel=0.02)
    assert drawing.paint(canvas, [square * 0.2 + 3], (9, 9, 9))[:-1, :-1].sum() == 0
    assert drawing.paint(canvas, [square * 0.2 - 3], (9, 9, 9))[1:, 1:].sum() == 0


def test_textures_stay_clear_of_the_colours_on_them():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        shade = figures.draw_color(rng, list(figures.COLORS)[seed % 8])
        image = np.asarray(textures.draw_texture(rng, 24, avoid=[shade]), float)
        # Between the two colours, both 100 away, a mixture may come closer, but never close.
        assert np.linalg.norm(image - shade, axis=-1).min() > 70
        assert image.min() > 20


@pytest.mark.parametrize("family", textures.FAMILIES)
def test_textures_are_drawn_between_their_two_colours(family):
    amounts = np.stack([family(np.random.default_rng(seed), 64) for seed in range(20)])
    assert amounts.shape == (20, 64, 64)
    assert amounts.min() > -0.3
    assert amounts.max() < 1.3
    assert amounts.std(axis=(1, 2)).min() > 0.02


def test_clutter_that_touches_an_object_has_another_colour():
    hue = {"red": figures.COLORS["red"]}
    for seed in range(100):
        canvas = Image.new("RGB", (64, 64), (128, 128, 128))
        figures.scatter_clutter(np.random.default_rng(seed), canvas, 4, [(np.array([0.5, 0.5]), 2.0, "red")])
        far = np.abs(np.asarray(canvas, int) - hue["red"]).max(axis=-1)
        # Antialiased edges of other colours may pass close to red by chance; a red figure would fill tens of pixels.
        assert (far <= 8).sum() < 3
