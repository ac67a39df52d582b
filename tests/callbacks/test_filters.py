import io
import re
from pathlib import Path

import keras
import numpy as np
import PIL.Image
import pytest
from picture_helpers import see
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerasdl.callbacks import FilterSummary
from kerasdl.visualization import filters


def _model(channels=1, filter_count=6):
    inputs = keras.Input((8, 8, channels))
    x = keras.layers.Conv2D(filter_count, 3, name="c1")(inputs)
    x = keras.layers.Conv2D(2, 3, name="c2")(x)
    x = keras.layers.Dense(2)(keras.layers.Flatten()(x))
    model = keras.Model(inputs, x)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def _fit(model, *callbacks, epochs):
    images = np.random.default_rng(0).random((4, *model.input_shape[1:]), dtype="float32")
    model.fit(images, np.ones((4, 2)), epochs=epochs, callbacks=list(callbacks), verbose=0)


def _pictures(log_dir, tag):
    """What TensorBoard reads: (step, pixels) of each."""
    events = EventAccumulator(str(log_dir), size_guidance={"tensors": 0})
    events.Reload()
    assert events.Tags()["tensors"] == [tag]
    pictures = []
    for event in events.Tensors(tag):
        width, height, png = event.tensor_proto.string_val
        pixels = np.asarray(PIL.Image.open(io.BytesIO(png)))
        assert pixels.shape[:2] == (int(height), int(width))
        pictures.append((event.step, pixels))
    return pictures


class _Remember(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.kernels = []

    def on_epoch_end(self, epoch, logs=None):
        self.kernels.append(filters(self.model))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_is_the_kernels_of_that_epoch(tmp_path, channels):
    model, remember = _model(channels), _Remember()
    _fit(model, remember, FilterSummary(tmp_path), epochs=3)
    pictures = _pictures(tmp_path, "filters/c1")
    assert [step for step, _ in pictures] == [0, 1, 2]
    for (_, pixels), kernels in zip(pictures, remember.kernels, strict=True):
        pixels = pixels.reshape(*pixels.shape[:2], channels)
        # Six kernels of 3x3 in a grid of 3 columns and 2 rows, one weight apart, eight pixels per weight.
        assert pixels.shape[:2] == ((2 * 3 + 1) * 8, (3 * 3 + 2) * 8)
        for index, kernel in enumerate(kernels):
            top, left = (index // 3) * 4, (index % 3) * 4
            centres = pixels[4::8, 4::8][top : top + 3, left : left + 3] / 255
            np.testing.assert_allclose(centres, 0.5 + kernel / (2 * np.abs(kernels).max()), atol=1 / 255)


def test_deeper_layers_have_a_row_per_filter_and_a_column_per_channel(tmp_path):
    model = _model()
    _fit(model, FilterSummary(tmp_path, layer="c2"), epochs=1)
    [(_, pixels)] = _pictures(tmp_path, "filters/c2")
    kernels = filters(model, "c2")
    centres = pixels[4::8, 4::8] / 255
    assert centres.shape == (2 * 3 + 1, 6 * 3 + 5)
    for row in range(2):
        for column in range(6):
            kernel = centres[row * 4 : row * 4 + 3, column * 4 : column * 4 + 3]
            expected = 0.5 + kernels[row, ..., column] / (2 * np.abs(kernels).max())
            np.testing.assert_allclose(kernel, expected, atol=1 / 255)


def test_a_layer_may_be_given_by_its_path(tmp_path):
    first, second = (
        keras.Sequential([keras.layers.Conv2D(2, 3, name="conv")], name=name) for name in ("first", "second")
    )
    model = keras.Sequential([keras.Input((8, 8, 1)), first, second])
    see(FilterSummary(tmp_path, layer="second/conv"), model)
    [(_, pixels)] = _pictures(tmp_path, "filters/second/conv")
    kernels = filters(model, "second/conv")
    # The kernels of two channels: a row per filter, a column per channel.
    np.testing.assert_allclose(
        pixels[4::8, 4::8][:3, :3] / 255, 0.5 + kernels[0, ..., 0] / (2 * np.abs(kernels).max()), atol=1 / 255
    )


def _nested():
    """Layers with the names that Keras gives, which count on from model to model."""
    inner = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.Conv2D(4, 3)])
    return keras.Sequential([keras.Input((8, 8, 1)), inner])


@pytest.mark.parametrize(
    ("layer", "tag", "index"),
    [
        (None, "filters/sequential/conv2d", 0),
        ("sequential/conv2d_1", "filters/sequential/conv2d_1", 1),
        ("conv2d_3", "filters/sequential/conv2d_1", 1),  # What Keras calls it.
        ("sequential_2/conv2d_3", "filters/sequential/conv2d_1", 1),
    ],
)
def test_tags_are_the_same_in_every_run(tmp_path, layer, tag, index):
    _nested()
    model = _nested()
    assert [inner.name for inner in model.layers[0].layers] == ["conv2d_2", "conv2d_3"]
    see(FilterSummary(tmp_path, layer=layer), model)
    [(_, pixels)] = _pictures(tmp_path, tag)
    kernels = filters(model.layers[0], f"conv2d_{2 + index}")
    first = 0.5 + kernels[0, ..., 0] / (2 * np.abs(kernels).max())
    np.testing.assert_allclose(pixels[4::8, 4::8][:3, :3] / 255, first, atol=1 / 255)


def test_of_a_wide_layer_the_first_64_are_drawn(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 70)), keras.layers.Conv2D(66, 1)])
    see(FilterSummary(tmp_path), model)
    [(_, pixels)] = _pictures(tmp_path, "filters/conv2d")
    kernels = filters(model)[:, 0, 0]
    expected = 0.5 + kernels[:64, :64] / (2 * np.abs(kernels).max())
    np.testing.assert_allclose(pixels[4::16, 4::16] / 255, expected, atol=1 / 255)


def test_what_is_no_number_is_drawn_as_zero(tmp_path):
    model = _model()
    kernel = np.full((3, 3, 1, 6), np.nan)
    kernel[0, 0, 0, 0], kernel[1, 1, 0, 0] = 2, -1
    model.get_layer("c1").set_weights([kernel, np.zeros(6)])
    see(FilterSummary(tmp_path), model)
    [(_, pixels)] = _pictures(tmp_path, "filters/c1")
    shades = pixels[4::8, 4::8][:3, :3]
    assert (shades[0, 0], shades[1, 1]) == (255, 64)
    assert (np.delete(shades.ravel(), [0, 4]) == 128).all()


def test_writes_after_every_so_many_epochs(tmp_path):
    _fit(_model(), FilterSummary(tmp_path, every=2), epochs=5)
    assert [step for step, _ in _pictures(tmp_path, "filters/c1")] == [1, 3]


def test_asks_for_no_single_batches():
    hooks = {"on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"}
    assert not hooks & set(vars(FilterSummary))


class _Fails(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("stop here")


def _open_files(folder):
    links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
    return [str(link.readlink()) for link in links if str(folder) in str(link.readlink())]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see which files are open")
def test_after_an_error_the_pictures_are_there_and_the_file_gets_closed(tmp_path):
    callback = FilterSummary(tmp_path)
    with pytest.raises(RuntimeError, match="stop here"):
        _fit(_model(), callback, _Fails(), epochs=3)
    assert [step for step, _ in _pictures(tmp_path, "filters/c1")] == [0, 1]
    assert len(_open_files(tmp_path)) == 1
    # The same callback may be used again, and leaves no file open.
    _fit(_model(), callback, epochs=1)
    assert _open_files(tmp_path) == []


@pytest.mark.parametrize("every", [0, -1, 0.5])
def test_every_must_be_a_number_of_epochs(tmp_path, every):
    text = f"`every` must be a whole number of epochs, at least 1. Received: every={every}."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        FilterSummary(tmp_path, every=every)


def test_a_wrong_layer_is_told_before_the_first_epoch(tmp_path):
    with pytest.raises(ValueError, match="Received: layer='c9', which is not there"):
        _fit(_model(), FilterSummary(tmp_path, layer="c9"), epochs=1)
    assert list(tmp_path.iterdir()) == []
