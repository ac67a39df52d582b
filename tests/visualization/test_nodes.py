import numpy as np
import pytest

from kerasdl.visualization import plots


def test_balls_and_arrows_stand_where_they_should():
    figure = plots.graphs(
        {"line": [[0, 0], [1, 2]], "fork": [[0, 0], [1, 1], [-1, 1]]},
        {"line": [(0, 1)], "fork": [(0, 1), (0, 2)]},
        groups={"line": ["first", "last"], "fork": ["first", "last", "last"]},
        title="two graphs",
    )
    line, fork = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["line", "fork"]
    assert (len(line.patches), len(fork.patches)) == (1, 2)
    np.testing.assert_array_equal(fork.collections[1].get_offsets(), [[1, 1], [-1, 1]])
    # Each arrow begins near its first node and ends near its second; what is missing is the balls' radius.
    figure.canvas.draw()
    path = line.patches[0].get_path()
    points = line.transData.inverted().transform(line.patches[0].get_transform().transform(path.vertices))
    assert np.abs(points[0] - [0, 0]).max() < 0.3
    assert np.abs(points - [1, 2]).max(axis=1).min() < 0.3
    # The same kind has the same colour in both, and stands in the legend once.
    np.testing.assert_array_equal(line.collections[1].get_facecolor()[0], fork.collections[1].get_facecolor()[0])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["first", "last"]


def test_nodes_without_groups_need_no_legend():
    figure = plots.graphs({"pair": [[0, 0], [1, 1]]}, {"pair": []})
    assert figure.legends == []
    assert len(figure.axes[0].collections[0].get_offsets()) == 2


def test_graphs_must_have_positions_and_edges():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        plots.graphs({"a": [[0, 0]]}, {"b": []})
    assert str(error.value) == (
        "`positions` and `edges` must name the same graphs, at least one. "
        "Received: positions of ['a'] and edges of ['b']."
    )
