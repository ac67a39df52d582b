"""Style transfer: the losses against NumPy, their gradient against finite differences, styles as a weighted sum."""

import keras
import numpy as np
import pytest

from kerasdl.architectures import pretrained
from kerasdl.data import load
from kerasdl.visualization import gram_matrices, pixels, transfer_style

CONTENTS, STYLES = np.random.default_rng(0).uniform(0.2, 0.8, size=(2, 2, 6, 6, 3)).astype("float32")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(4, 3, activation="tanh", name="first"),
        keras.layers.AveragePooling2D(2),
        keras.layers.Conv2D(5, 1, activation="tanh", name="second"),
        keras.layers.Flatten(),
    ]
    return keras.Sequential([keras.Input((6, 6, 3)), *layers])


def losses_of(model, images, **arguments):
    """The losses of images as they are."""
    _, losses = transfer_style(model, CONTENTS, STYLES, start=images, steps=1, return_losses=True, **arguments)
    return {name: values[:, 0] for name, values in losses.items()}


def test_losses_are_those_of_numpy_and_styles_a_weighted_sum(model):
    start = pixels.noise(CONTENTS.shape, (0, 1), seed=3)
    layers = {"first": 3, "second": 1}
    grams = [gram_matrices(model, images, list(layers)) for images in (start, STYLES)]
    by_style = np.zeros((2, 2))
    for name, weight in layers.items():
        made, wanted = (each[name] for each in grams)
        by_style += weight / 4 * ((made[:, None] - wanted) ** 2).sum((2, 3)) / (wanted**2).sum((1, 2))
    options = {"style_layers": layers, "content_layers": "second"}
    losses = losses_of(model, start, style_weight=(6, 2), **options)
    np.testing.assert_allclose(losses["style"], by_style @ [0.75, 0.25], rtol=1e-4)
    for style in (0, 1):
        alone = losses_of(model, start, style_weight=np.eye(2)[style], **options)
        np.testing.assert_allclose(alone["style"], by_style[:, style], rtol=1e-4)
    # One number is for all styles together, which then count the same.
    np.testing.assert_allclose(losses_of(model, start, **options)["style"], by_style.mean(axis=1), rtol=1e-4)
    features = keras.Model(model.inputs[0], model.get_layer("second").output)
    made, wanted = features(start).numpy(), features(CONTENTS).numpy()
    expected = ((made - wanted) ** 2).sum((1, 2, 3)) / (wanted**2).sum((1, 2, 3))
    np.testing.assert_allclose(losses["content"], expected, rtol=1e-4)


def test_the_first_step_follows_finite_differences_of_the_weighted_losses(model):
    # Adam's first step has the size of the rate everywhere; its sign is minus the gradient's.
    weights = {"content_weight": 0.7, "style_weight": (1.0, 0.5), "total_variation": 2.0}
    start = pixels.noise(CONTENTS.shape, (0, 1), seed=3)

    def total(images):
        losses = losses_of(model, images, **weights)
        return 0.7 * losses["content"] + 1.5 * losses["style"] + 2.0 * losses["total_variation"]

    made = transfer_style(model, CONTENTS, STYLES, start=start, steps=1, learning_rate=0.01, **weights)
    np.testing.assert_allclose(np.abs(made - start), 0.01, atol=1e-4)
    for place in [(0, 0, 0), (2, 3, 1), (5, 1, 2), (3, 3, 0), (4, 5, 1), (1, 2, 2)]:
        change = np.zeros_like(start)
        change[:, *place] = 0.02
        slope = total(start + change) - total(start - change)
        assert np.array_equal(np.sign(made - start)[:, *place], -np.sign(slope)), place


def test_from_noise_both_losses_fall_by_nine_tenths_where_both_can(model):
    # The style of the content itself: both losses are zero at the content.
    _, losses = transfer_style(model, CONTENTS[:1], CONTENTS[:1], start="noise", steps=150, return_losses=True)
    for name in ("content", "style"):
        assert losses[name][0, -1] < 0.1 * losses[name][0, 0]


@pytest.mark.slow
def test_from_noise_both_losses_fall_by_nine_tenths_for_photographs_in_squeezenet():
    photos = load("photos", image_size=64, batch_size=9)
    images = next(photos.as_numpy_iterator())[0]
    largest = pretrained("squeezenet1_1", input_shape=(64, 64, 3))

    def with_mean(layer):
        kind = keras.layers.AveragePooling2D if isinstance(layer, keras.layers.MaxPooling2D) else type(layer)
        return kind.from_config(layer.get_config())

    network = keras.models.clone_model(largest, clone_function=with_mean)
    network.set_weights(largest.get_weights())
    _, losses = transfer_style(
        network,
        images[1:2],
        images[4:5],
        content_layers="fire7",
        style_layers=("conv1", "fire2", "fire3"),
        style_weight=2.0,
        start="noise",
        return_losses=True,
    )
    for name in ("content", "style"):
        assert losses[name][0, -1] < 0.1 * losses[name][0, 0]


def test_from_the_content_the_content_loss_starts_at_zero_and_nothing_is_traced_twice(model, monkeypatch):
    traces = []
    descend = pixels.descend
    monkeypatch.setattr(pixels, "descend", lambda *arguments: traces.append(1) or descend(*arguments))
    options = {"content_layers": "first", "style_layers": ("second",), "return_losses": True}
    made, losses = transfer_style(model, CONTENTS, STYLES, steps=3, **options)
    assert np.all(losses["content"][:, 0] < 1e-10)
    transfer_style(
        model, CONTENTS[:1], STYLES[:1], steps=2, style_weight=9.0, content_weight=0.0, start="noise", seed=5, **options
    )
    assert len(traces) == 1
    alone, _ = transfer_style(model, CONTENTS, STYLES, steps=3, batch_size=1, **options)
    np.testing.assert_allclose(alone, made, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"style_weight": (1, 2, 3)},
            r"`style_weight` must be a number of at least 0, or one for each of the 2 styles\.",
        ),
        ({"style_weight": -1}, r"`style_weight` must be a number of at least 0, .* Received: -1\."),
        ({"content_weight": -1}, r"`content_weight` must be a number of at least 0\. Received: -1\."),
        (
            {"start": "white"},
            r"`start` must be \"content\", \"noise\", or images of .*\(2, 6, 6, 3\)\. Received: 'white'\.",
        ),
        ({"start": CONTENTS[:1]}, r"`start` must be .* Received: shape \(1, 6, 6, 3\)\."),
        ({"start": 2 + CONTENTS}, r"`start` must lie within `bounds`, 0 to 1\. Received: values from 2\.\d+ to "),
        ({"styles": CONTENTS + 1}, r"`styles` must lie within `bounds`, 0 to 1\."),
        (
            {"content_layers": 3},
            r"`content_layers` must be None, names of layers, or a weight for each\. Received: 3\.",
        ),
    ],
)
def test_refuses(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        transfer_style(model, **{"contents": CONTENTS, "styles": STYLES, **arguments})
