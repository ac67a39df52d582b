import numpy as np
import pytest

from kerasdl.visualization import plots


def test_a_heatmap_shows_the_table_with_its_scale():
    values = np.array([[0.0, 1.0, 2.0], [-3.0, 0.0, 1.0]])
    figure = plots.heatmap(
        values, x_label="layer", y_label="class", value_label="openness", row_names=["cat", "dog"], title="Gates"
    )
    axes, bar = figure.axes
    (image,) = axes.get_images()
    np.testing.assert_array_equal(image.get_array(), values)
    assert (image.norm.vmin, image.norm.vmax) == (-3.0, 2.0)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("layer", "class", "Gates")
    assert bar.get_ylabel() == "openness"
    # The first cell is the upper left one, and is called 1.
    left, right, lower, upper = image.get_extent()
    assert (left, right, lower, upper) == (0.5, 3.5, 2.5, 0.5)


def test_columns_may_have_names():
    labels = {"x_label": "layer", "y_label": "class", "value_label": "openness"}
    axes = plots.heatmap([[1.0, 2.0], [3.0, 4.0]], column_names=["cat", "dog"], **labels).axes[0]
    assert [(label.get_position()[0], label.get_text()) for label in axes.get_xticklabels()] == [(1, "cat"), (2, "dog")]


def test_a_symmetric_heatmap_has_zero_in_its_middle():
    labels = {"x_label": "a", "y_label": "b", "value_label": "c"}
    norm = plots.heatmap([[1.0, -4.0]], symmetric=True, **labels).axes[0].get_images()[0].norm
    assert (norm.vmin, norm.vmax) == (-4.0, 4.0)
    norm = plots.heatmap([[0.0, 0.0]], limits=(0, 1), **labels).axes[0].get_images()[0].norm
    assert (norm.vmin, norm.vmax) == (0, 1)


def test_wrong_tables_are_explained():
    labels = {"x_label": "a", "y_label": "b", "value_label": "c"}
    with pytest.raises(ValueError, match=r"`values` must have shape \(rows, columns\). Received: shape \(3,\)."):
        plots.heatmap([1, 2, 3], **labels)
    with pytest.raises(ValueError, match=r"Expected one name per row. Received: 1 names for 2 rows."):
        plots.heatmap([[1], [2]], row_names=["one"], **labels)
    with pytest.raises(ValueError, match=r"Expected one name per column. Received: 2 names for 1 columns."):
        plots.heatmap([[1], [2]], column_names=["one", "two"], **labels)
