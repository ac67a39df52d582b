"""What people see: a real TensorBoard server after a short run, opened in a real browser."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from browser_helpers import Browser, TensorBoard, fetch, why_no_browser
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerasdl import callbacks, training

CLASSES = ("dark", "bright", "striped")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_no_browser() is not None, reason=f"{why_no_browser()}"),
]


def _data():
    """Images of 12x12 pixels that are dark, bright or striped, 96 of them; one of ten is called something else."""
    random = np.random.default_rng(0)
    labels = np.arange(96) % 3
    images = random.uniform(0, 0.4, (96, 12, 12, 1)).astype("float32") + 0.4 * (labels == 1)[:, None, None, None]
    images[labels == 2, :, ::3] += 0.4
    return images, np.where(np.arange(96) % 10, labels, (labels + 1) % 3)


def _model():
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="edges")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    x = keras.layers.Dense(6, activation="relu", name="mixed")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="predictions")(x), name="small")
    model.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    """Two short runs, as a user makes them to compare."""
    folder = tmp_path_factory.mktemp("runs")
    images, labels = _data()
    for name, seed in (("first", 1), ("second", 2)):
        keras.utils.set_random_seed(seed)
        logs, examples = folder / name, callbacks.Examples((images, labels))
        watch = callbacks.monitor(logs, examples, class_names=CLASSES, hyperparameters={"seed": seed, "units": 6})
        watch += [callbacks.EmbeddingSummary(logs, examples, class_names=CLASSES)]
        data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
        training.fit(_model(), data, epochs=3, validation_data=data, callbacks=watch, verbose=0)
    return folder


@pytest.fixture(scope="module")
def server(log_dir):
    with TensorBoard(log_dir) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with Browser() as opened:
        yield opened


def _values(log_dir, tag):
    """What the event files say, read without a server: the value of each step."""
    events = EventAccumulator(str(log_dir), size_guidance={"tensors": 0})
    events.Reload()
    return {event.step: tf.make_ndarray(event.tensor_proto) for event in events.Tensors(tag)}


def _open(browser, url, *wanted):
    """Opens a page, and waits until all of these texts are on it."""
    browser.complaints()
    browser.open(url)
    browser.wait_for("const there = texts(); return arguments[0].every(text => there.includes(text))", list(wanted))


def _drawn(values):
    """How the scalars' page writes a number."""
    return f"{float(values[max(values)]):.4g}"


@pytest.mark.parametrize(
    "tag",
    [
        *("gradient_norms/edges", "dead_units/mixed", "weight_norms/edges/kernel", "mean_average_precision"),
        *("recall/bright", "learning_rate/by_epoch", "throughput/waiting_share"),
    ],
)
def test_scalars_have_their_curves(server, browser, tag):
    _open(browser, f"{server.url}#scalars&tagFilter=^{tag}$", tag, "first", "second")
    browser.wait_for("return deep('vz-line-chart2').filter(shown).length > 0")
    assert browser.complaints() == []


def test_time_series_show_the_numbers_that_were_measured(log_dir, server, browser):
    wanted = [_drawn(_values(log_dir / run, "mean_recall")) for run in ("first", "second")]
    _open(browser, f"{server.url}?tagFilter=^mean_recall$#timeseries", "mean_recall", *wanted)
    assert browser.complaints() == []


@pytest.mark.parametrize(
    "tag", ["confusion_matrix", "mistakes/worst", "attributions/grad_cam", "filters/edges", "feature_maps/edges"]
)
def test_images_are_there_in_their_size(log_dir, server, browser, tag):
    _open(browser, f"{server.url}#images&tagFilter=^{tag}$", tag)
    width, height, *_ = _values(log_dir / "second", tag)[2]
    seen = browser.wait_for(
        """return deep('img').filter(each => shown(each) && each.naturalWidth > 0)
                             .map(each => [each.naturalWidth, each.naturalHeight])"""
    )
    assert [int(width), int(height)] in seen
    assert browser.complaints() == []


def test_the_graph_opens_with_the_model_in_it(log_dir, server, browser):
    _open(browser, f"{server.url}#graphs", "Main Graph")
    titles = browser.wait_for("return deep('g.node title').map(each => each.textContent)")
    events = EventAccumulator(str(log_dir / "first"))
    events.Reload()
    names = {node.name.partition("/") for node in events.Graph().node}
    scopes = {scope for scope, slash, _ in names if slash}
    assert "small" in scopes
    assert scopes & set(titles) >= {"small"}
    assert browser.run("return texts().filter(text => text.includes('failed'))") == []
    assert browser.complaints() == []


@pytest.mark.parametrize("page", ["histograms", "distributions"])
@pytest.mark.parametrize("tag", ["gradients/edges", "weights/edges/kernel", "activations/mixed"])
def test_histograms_are_drawn(server, browser, page, tag):
    _open(browser, f"{server.url}#{page}&tagFilter=^{tag}$", tag)
    browser.wait_for("return deep('svg path').filter(shown).length > 3")
    assert browser.complaints() == []


@pytest.mark.parametrize("tag", ["confusions", "mistakes/list"])
def test_texts_are_tables(log_dir, server, browser, tag):
    newest = _values(log_dir / "first", tag)[2].item().decode()
    rows = [line for line in newest.split("\n") if line.startswith("|") and "---" not in line]
    cells = {cell.strip() for line in rows for cell in line.strip("|").split("|")}
    assert len(rows) > 2
    assert cells & set(CLASSES)
    _open(browser, f"{server.url}#text&tagFilter=^{tag}$", tag, *cells - {""})
    assert browser.complaints() == []


def test_curves_of_precision_and_recall_have_their_classes(server, browser):
    _open(browser, f"{server.url}#pr_curves", *(f"precision_recall/{name}" for name in CLASSES))
    browser.wait_for("return deep('vz-line-chart2').filter(shown).length > 2")
    assert browser.complaints() == []


def test_runs_are_compared_by_their_hyperparameters(log_dir, server, browser):
    losses = [_values(log_dir / run / "hyperparameters", "val_loss")[2] for run in ("first", "second")]
    _open(browser, f"{server.url}#hparams", "seed", "units", "val_loss", *(f"{loss:#.5g}" for loss in losses))
    assert browser.complaints() == []


def test_the_projector_shows_every_example_with_its_picture(server, browser):
    _open(browser, f"{server.url}#projector", "Points:", "96", "Dimension:", "6", "PCA")
    browser.wait_for("return texts().some(text => text.startsWith('Total variance described'))")
    assert browser.complaints() == []
    query = f"{server.url}data/plugin/projector/"
    assert sorted(fetch(f"{query}runs")) == ["first", "second"]
    [points] = fetch(f"{query}info?run=second")["embeddings"]
    assert points["tensorShape"] == [96, 6]
    # The browser has drawn the points of the first run; that it finds the pictures says this.
    assert browser.wait_for(
        """const done = arguments[0]; const image = window.sprite ||= Object.assign(new Image(), {src: done});
           return [image.naturalWidth, image.naturalHeight].every(side => side > 0) && [image.naturalWidth,
           image.naturalHeight]""",
        f"{query}sprite_image?run=second&name={points['tensorName']}",
    ) == [12 * 10, 12 * 10]
