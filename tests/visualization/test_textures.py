"""Gram matrices against einsum, and a texture whose optimum is known."""

import keras
import numpy as np
import pytest

from kerasdl.visualization import gram_matrices, pixels, synthesize_texture

IMAGES = np.random.default_rng(0).uniform(size=(3, 9, 8, 3)).astype("float32") ** [0.5, 1, 2]


def network():
    """Three sizes of maps in a nested model, behind a layer that only scales, and maps of the classes."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(2.0, -1.0, name="scale")(inputs)
    x = keras.layers.Conv2D(4, 3, padding="same", name="first")(x)
    x = keras.layers.ReLU(name="first_relu")(x)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    backbone = keras.Model(inputs, keras.layers.Conv2D(5, 3, padding="same", name="second")(x), name="backbone")
    outer = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(7, 1, name="classes")(backbone(outer))
    return keras.Model(outer, keras.layers.GlobalAveragePooling2D()(x))


def test_gram_matrices_are_those_of_einsum():
    model = network()
    matrices = gram_matrices(model, IMAGES, batch_size=2)
    # The last layer of each size: neither the one before the first weights, nor the pooling, nor the classes' maps.
    assert list(matrices) == ["backbone/first_relu", "backbone/second"]
    inner = model.get_layer("backbone")
    for path, matrix in matrices.items():
        maps = keras.Model(inner.input, inner.get_layer(path.split("/")[1]).output)(IMAGES)
        expected = np.einsum("nhwc,nhwd->ncd", maps, maps) / (maps.shape[1] * maps.shape[2])
        np.testing.assert_allclose(matrix, expected, rtol=1e-4, atol=1e-6)
    assert list(gram_matrices(model, IMAGES, "first")) == ["backbone/first"]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ((), "abc"),
        # As many features as classes are still features, unless they are the classes' own maps.
        ((keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(16)), "abc"),
        ((keras.layers.Conv2D(16, 1), keras.layers.BatchNormalization(), keras.layers.GlobalAveragePooling2D()), "abc"),
    ],
)
def test_layers_with_as_many_channels_as_the_output_are_not_forgotten(head, expected):
    layers = [keras.layers.Conv2D(width, 2, name=name) for name, width in zip("abc", (8, 16, 16), strict=True)]
    model = keras.Sequential([keras.Input((9, 8, 3)), *layers, *head])
    assert pixels.layers_by_size(model, IMAGES) == list(expected)


def test_one_linear_layer_leaves_the_second_moments_of_the_colours_and_nothing_else():
    # Gram matrix of X K: K' (X'X / n) K, so with an invertible K the best images have the texture's X'X / n.
    kernel = np.array([[2.0, 0.3, 0.0], [0.0, 1.0, -0.4], [0.5, 0.0, 1.0]])
    conv = keras.layers.Conv2D(3, 1, use_bias=False, name="mix")
    model = keras.Sequential([keras.Input((None, None, 3)), conv, keras.layers.GlobalAveragePooling2D()])
    conv.kernel.assign(kernel[None, None])
    options = {"shape": (10, 12), "total_variation": 0.0, "steps": 1000, "return_losses": True}
    made, losses = synthesize_texture(model, IMAGES, "mix", **options)
    assert made.shape == (3, 10, 12, 3)
    moments = [np.einsum("nhwc,nhwd->ncd", x, x) / (x.shape[1] * x.shape[2]) for x in (IMAGES, made)]
    np.testing.assert_allclose(moments[1], moments[0], atol=1e-3)
    assert np.all(losses["mix"][:, -1] < 1e-5 * losses["mix"][:, 0])
    noise = pixels.noise(made.shape, (0, 1), seed=0)
    wanted = kernel.T @ moments[0] @ kernel
    begun = kernel.T @ (np.einsum("nhwc,nhwd->ncd", noise, noise) / 120) @ kernel
    expected = ((begun - wanted) ** 2).sum((1, 2)) / (wanted**2).sum((1, 2))
    np.testing.assert_allclose(losses["mix"][:, 0], expected, rtol=1e-4)


def test_losses_fall_in_every_layer_and_layers_of_weight_zero_are_left_alone():
    model = network()
    both, first = (
        synthesize_texture(model, IMAGES[:1], layers, total_variation=0.0, steps=100, return_losses=True)[1]
        for layers in ({"first_relu": 1, "second": 1}, {"first_relu": 5, "second": 0})
    )
    for losses in (both, first):
        assert losses["backbone/first_relu"][0, -1] < 0.05 * losses["backbone/first_relu"][0, 0]
    assert both["backbone/second"][0, -1] < 0.05 * both["backbone/second"][0, 0]
    assert first["backbone/second"][0, -1] > 3 * both["backbone/second"][0, -1]


def test_neighbours_are_penalised_as_numpy_says():
    pixel = np.random.default_rng(1).uniform(-2, 8, size=(2, 5, 7, 3)).astype("float32")
    squares = (np.diff(pixel, axis=1) ** 2).sum((1, 2, 3)) + (np.diff(pixel, axis=2) ** 2).sum((1, 2, 3))
    expected = squares / (5 * 7 * 3) / 10**2
    np.testing.assert_allclose(pixels.total_variation(pixel, np.float32([-2, 8])), expected, rtol=1e-5)
    assert np.all(pixels.total_variation(np.zeros((1, 1, 1, 3), "float32"), np.float32([0, 1])) == 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": ()}, r"`layers` must be None, names of layers, or a weight for each\. Received: \(\)\."),
        ({"layers": {"first": -1}}, r"The weights of `layers` must be at least 0, and one above\. Received: "),
        ({"layers": "sekond"}, r"Received: 'sekond'\. The closest are: second"),
        ({"shape": (0, 8)}, r"`shape` must be a height and a width of at least 1\. Received: \(0, 8\)\."),
        ({"shape": 8}, r"`shape` must be a height and a width of at least 1\. Received: 8\."),
        ({"bounds": (0, 0.5)}, r"`textures` must lie within `bounds`, 0 to 0\.5\. Received: values from "),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthesize_texture(network(), IMAGES, **arguments)


def test_says_which_shape_a_model_takes():
    model = keras.Sequential([keras.Input((9, 8, 3)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()])
    with pytest.raises(
        ValueError, match=r"takes images of shape \(9, 8, 3\)\. Received: images of shape \(4, 4, 3\)\."
    ):
        synthesize_texture(model, IMAGES, shape=(4, 4))
