"""SqueezeNet against NumPy, Caffe's rule for poolings, the paper's Table 1, and the authors' weights on photographs."""

import json
import math

import keras
import numpy as np
import PIL.Image
import pytest
from helpers import numbers_in

from kerasdl.architectures import squeezenet1_0, squeezenet1_1
from kerasdl.architectures.squeezenet import fire, pool


def convolve(maps, kernel, bias):
    side = kernel.shape[0] // 2
    maps = np.pad(maps, ((side, side), (side, side), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(maps, kernel.shape[:2], (0, 1))
    return np.maximum(np.einsum("yxchw,hwco->yxo", windows, kernel) + bias, 0)


def test_a_fire_module_is_what_figure_1_draws():
    inputs = keras.Input((7, 6, 10))
    model = keras.Model(inputs, fire(inputs, 3, 4, 5, name="fire2"))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.5, weight.shape) for weight in model.weights])
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    assert list(weights) == ["fire2_squeeze", "fire2_expand1x1", "fire2_expand3x3"]
    maps = random.normal(size=(7, 6, 10)).astype("float32")
    squeezed = convolve(maps, *weights["fire2_squeeze"])
    expected = np.concatenate(
        [convolve(squeezed, *weights["fire2_expand1x1"]), convolve(squeezed, *weights["fire2_expand3x3"])], axis=-1
    )
    np.testing.assert_allclose(model(maps[None])[0], expected, rtol=1e-4, atol=1e-5)
    assert (expected > 0).mean() > 0.2


@pytest.mark.parametrize("shape", [(2, 3), (7, 8), (9, 6), (54, 55)])
def test_poolings_end_as_in_caffe(shape):
    inputs = keras.Input((*shape, 2))
    model = keras.Model(inputs, pool(inputs, name="pool"))
    maps = np.random.default_rng(0).random((*shape, 2)).astype("float32")
    # Caffe rounds up: the last window may hang over the border.
    height, width = (math.ceil((side - 3) / 2) + 1 for side in shape)
    expected = [[maps[2 * y : 2 * y + 3, 2 * x : 2 * x + 3].max((0, 1)) for x in range(width)] for y in range(height)]
    np.testing.assert_array_equal(model(maps[None])[0], expected)


def test_the_papers_table_1():
    model = squeezenet1_0(input_shape=(227, 227, 3))
    counts = {}
    for layer in model.layers:
        if layer.weights:
            module = layer.name.split("_")[0]
            counts[module] = counts.get(module, 0) + numbers_in(layer.weights)
    # "# of parameters before pruning", Table 1; its output sizes are those of images of 227 pixels.
    assert counts == {
        "conv1": 14_208,
        "fire2": 11_920,
        "fire3": 12_432,
        "fire4": 45_344,
        "fire5": 49_440,
        "fire6": 104_880,
        "fire7": 111_024,
        "fire8": 188_992,
        "fire9": 197_184,
        "conv10": 513_000,
    }
    assert sum(counts.values()) == 1_248_424
    sizes = {
        name: model.get_layer(name).output.shape[1:] for name in ("conv1", "stage1_out", "fire2", "fire4", "fire5")
    }
    assert sizes == {
        "conv1": (111, 111, 96),
        "stage1_out": (55, 55, 96),
        "fire2": (55, 55, 128),
        "fire4": (55, 55, 256),
        "fire5": (27, 27, 256),
    }
    assert model.get_layer("stage4_out").output.shape[1:] == (13, 13, 512)
    assert model.get_layer("conv10").output.shape[1:] == (13, 13, 1000)


def test_each_logit_is_the_average_of_a_map():
    model = squeezenet1_1(input_shape=(65, 48, 3), classes=7)
    image = np.random.default_rng(0).normal(size=(1, 65, 48, 3)).astype("float32")
    maps, logits = keras.Model(model.input, [model.get_layer("conv10").output, model.get_layer("logits").output])(image)
    np.testing.assert_allclose(logits, np.mean(maps, (1, 2)), rtol=1e-5)
    assert np.min(logits) >= 0


def test_the_authors_weights_recognise_photographs(extra_data):
    model = squeezenet1_1()
    with np.load(extra_data / "weights/squeezenet_v1.1_imagenet.npz") as file:
        weights = {
            key.replace("/squeeze1x1", "_squeeze").replace("/expand", "_expand"): file[key] for key in file.files
        }
    assert set(weights) == {f"{layer.name}/{w.name}" for layer in model.layers for w in layer.weights}
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([weights[f"{layer.name}/{weight.name}"] for weight in layer.weights])
    labels = json.loads((extra_data / "weights/imagenet_labels.json").read_text())
    paths = sorted((extra_data / "photos").glob("*.jpg"))
    images = []
    for path in paths:
        with PIL.Image.open(path) as picture:
            side = min(picture.size)
            left, top = ((length - side) // 2 for length in picture.size)
            square = picture.convert("RGB").crop((left, top, left + side, top + side)).resize((224, 224))
        images.append(np.asarray(square, "float32")[..., ::-1] - [103.939, 116.779, 123.68])
    guesses = model.predict(np.array(images), verbose=0).argmax(axis=-1)
    right = sum(path.stem.endswith(f"_{labels[str(guess)]}") for guess, path in zip(guesses, paths, strict=True))
    assert right >= 23  # 24 were; without the means, or with red first, it would be fewer


@pytest.mark.parametrize(("builder", "smallest"), [(squeezenet1_0, 21), (squeezenet1_1, 17)])
def test_an_image_too_small_is_refused(builder, smallest):
    assert builder(input_shape=(smallest, smallest, 1), classes=2)(np.zeros((1, smallest, smallest, 1))).shape == (1, 2)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        builder(input_shape=(64, smallest - 1, 3))
    assert str(error.value) == (
        f"`input_shape` must be at least {smallest}x{smallest} here: of smaller images the network's strides leave "
        f"nothing. Received: input_shape=(64, {smallest - 1}, 3)."
    )
