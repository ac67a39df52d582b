"""Maps on images: the colours that are drawn, where they stand, and what is refused."""

import matplotlib
import numpy as np
import pytest

from kerasdl.visualization import plots


def drawn(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_a_map_from_zero_goes_from_dark_to_yellow_over_the_image_in_grey():
    image = np.full((1, 1, 3, 3), 0.5)
    image[0, 0, 2] = [1, 0, 0]
    figure = plots.overlay_grid(image, [[[0.0, 2.0, 2.0]]], ["map"], title="all")
    (picture,) = drawn(figure)
    colours = matplotlib.colormaps["inferno"]([0.0, 1.0])[:, :3]
    np.testing.assert_allclose(picture[0, 0], 0.35 * 0.5 + 0.65 * colours[0], atol=1e-6)
    np.testing.assert_allclose(picture[0, 1], 0.35 * 0.5 + 0.65 * colours[1], atol=1e-6)
    np.testing.assert_allclose(picture[0, 2], 0.35 * 0.2126 + 0.65 * colours[1], atol=1e-6)  # red is a dark grey
    assert figure.axes[0].get_title() == "map"
    assert figure.get_suptitle() == "all"
    assert figure.get_supxlabel() == "Dark: little, yellow: much, each map on its own scale"


def test_a_map_with_signs_is_red_for_and_blue_against_and_lets_the_image_through_at_zero():
    (picture,) = drawn(plots.overlay_grid(np.full((1, 1, 3, 1), 0.5), [[[-4.0, 0.0, 4.0]]]))
    blue, middle, red = picture[0]
    np.testing.assert_allclose(middle, 0.5 + 0.5 * 0.5, atol=1e-6)
    assert blue[2] > blue[0] + 0.2
    assert red[0] > red[2] + 0.2


def test_one_stray_pixel_does_not_darken_all_others():
    values = np.ones((1, 40, 40))
    values[0, 0, 0] = 1000
    (picture,) = drawn(plots.overlay_grid(np.zeros((1, 40, 40, 1)), values))
    np.testing.assert_allclose(picture[5, 5], picture[0, 0])
    # But where nearly all is zero, the few pixels that are not are seen.
    (picture,) = drawn(plots.overlay_grid(np.zeros((1, 40, 40, 1)), np.where(values > 1, 1.0, 0.0)))
    assert picture[0, 0].sum() > picture[5, 5].sum() + 1


def test_channels_are_drawn_around_grey_and_masks_leave_the_rest_pale():
    images = np.full((2, 1, 2, 3), [0.2, 0.4, 0.6])
    maps = [np.array([[[0.0, 0, 0], [-2, 0, 2]]]), np.array([[True, False]])]
    figure = plots.overlay_grid(images, maps)
    channels, mask = drawn(figure)
    np.testing.assert_allclose(channels, [[[0.5, 0.5, 0.5], [0, 0.5, 1]]], atol=1e-6)
    np.testing.assert_allclose(mask[0, 0], [0.2, 0.4, 0.6], atol=1e-6)
    grey = 0.2126 * 0.2 + 0.7152 * 0.4 + 0.0722 * 0.6
    np.testing.assert_allclose(mask[0, 1], 0.7 + 0.3 * grey, atol=1e-6)
    assert figure.get_supxlabel() == "Mid-grey: zero; in colour: the mask, each map on its own scale"


def test_methods_are_columns_and_images_are_rows():
    random = np.random.default_rng(0)
    images, first, second = random.uniform(size=(2, 4, 4, 3)), random.uniform(size=(2, 4, 4)), np.ones((2, 4, 4), bool)
    figure = plots.compare_maps(images, {"one": first, "two": second}, ["cat", "dog"])
    pictures = drawn(figure)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == ["cat", "one", "two", "dog", "", ""]
    for row in range(2):
        for column, expected in enumerate((images[row], None, images[row])):
            place = shown[3 * row + column].get_subplotspec()
            assert (place.rowspan.start, place.colspan.start) == (row, column)
            if expected is not None:
                np.testing.assert_allclose(pictures[3 * row + column], expected, atol=1e-6)
    # Without names the rows close up.
    assert plots.compare_maps(images, {"one": first}).get_figheight() < figure.get_figheight()
    np.testing.assert_allclose(pictures[4], drawn(plots.overlay_grid(images[1:], first[1:]))[0])


def test_a_method_with_signs_has_one_set_of_colours():
    images, positive = np.full((2, 1, 3, 1), 0.5), np.array([[0.0, 1.0, 4.0]])
    figure = plots.compare_maps(images, {"signed": [positive, -positive], "heat": [positive, positive]})
    pictures = drawn(figure)
    # Where there is nothing the pale image, and then the redder, the more.
    np.testing.assert_allclose(pictures[1][0, 0], 0.5 + 0.5 * 0.5, atol=1e-6)
    both = drawn(plots.overlay_grid(images[:1], [[[0.0, -1.0, 4.0]]]))[0]
    np.testing.assert_allclose(pictures[1][0, 2], both[0, 2], atol=1e-6)
    said = "Red: for, blue: against (signed); dark: little, yellow: much (heat), each map on its own scale"
    assert figure.get_supxlabel().replace("\n", " ") == said
    np.testing.assert_allclose(pictures[2], pictures[5], atol=1e-6)


def test_says_which_maps_are_of_which_kind():
    heat, colours = np.ones((1, 4, 4)), np.ones((1, 4, 4, 3))
    maps = {"one": heat, "g": colours, "two": heat, "m": heat > 0, "d": colours, "three": heat}
    figure = plots.compare_maps(np.zeros((1, 4, 4, 1)), maps)
    assert figure.get_supxlabel().replace("\n", " ") == (
        "In colour: the mask (m); mid-grey: zero (g and d); dark: little, yellow: much (the others), "
        "each map on its own scale"
    )
    alone = plots.compare_maps(np.zeros((1, 4, 4, 1)), {"one": heat})
    assert alone.get_supxlabel() == "Dark: little, yellow: much, each map on its own scale"
    # Two lines below the picture, and no smaller pictures for it.
    shorter = plots.compare_maps(np.zeros((1, 4, 4, 1)), dict.fromkeys(maps, heat))
    assert figure.get_figheight() == pytest.approx(shorter.get_figheight() + 0.2 * figure.get_supxlabel().count("\n"))
    assert "\n" in figure.get_supxlabel()


@pytest.mark.parametrize(("methods", "rows", "columns"), [(1, 1, 2), (6, 2, 4), (10, 2, 6)])
def test_the_methods_of_one_image_fill_a_slide(methods, rows, columns):
    maps = {str(number): np.ones((1, 4, 4)) for number in range(methods)}
    figure = plots.compare_maps(np.zeros((1, 4, 4, 1)), maps)
    assert figure.axes[0].get_title() == "image"
    assert figure.axes[0].get_gridspec().get_geometry() == (rows, columns)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: plots.overlay_grid(np.zeros((2, 4, 4, 3)), np.zeros((2, 3, 4))),
            r"^`images` must have shape .* images of shape \(2, 4, 4, 3\) and maps of shapes \(3, 4\)\.$",
        ),
        (
            lambda: plots.compare_maps(np.zeros((2, 4, 4, 3)), {"one": np.zeros((1, 4, 4))}),
            r"one map per image, .* maps of shapes \(4, 4\)\.$",
        ),
        (
            lambda: plots.compare_maps(np.zeros((1, 4, 4, 3)), {}),
            r"^`maps` must hold the maps of at least one method\. Received: none\.$",
        ),
        (
            lambda: plots.compare_maps(np.zeros((1, 4, 4, 3)), {"one": np.zeros((1, 4, 4))}, ["a", "b"]),
            r"^Expected one name per image\. Received: 2 names for 1 images\.$",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
