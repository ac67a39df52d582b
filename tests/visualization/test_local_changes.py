"""Only what a change reaches is computed: the scores are those of the whole image, the windows as small as can be."""

import keras
import numpy as np
import pytest

from kerasdl.visualization import local_changes, occlusion

IMAGES = np.random.default_rng(0).uniform(size=(3, 33, 29, 2)).astype("float32")
PICTURE = np.random.default_rng(1).uniform(size=(33, 29, 2)).astype("float32")


def layers():
    return [
        keras.layers.Rescaling(2.0, -1.0),
        keras.layers.Conv2D(4, (5, 4), strides=2, padding="same", activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.AveragePooling2D(2),
        keras.layers.ZeroPadding2D(((1, 2), (0, 1))),
        keras.layers.Conv2D(5, (3, 2), name="last"),
    ]


def head():
    return [keras.layers.ReLU(), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]


def chain():
    return keras.Sequential([keras.Input((33, 29, 2)), *layers(), *head()])


def nested():
    inputs = keras.Input((33, 29, 2))
    x = keras.Sequential([keras.Input((33, 29, 2)), *layers()], name="first")(inputs)
    for layer in head():
        x = layer(x)
    return keras.Model(inputs, x)


def begins(patch, stride):
    return tuple(np.unique([*range(0, side - patch, stride), side - patch]) for side in (33, 29))


@pytest.mark.parametrize(("make", "value"), [(chain, 0.4), pytest.param(nested, PICTURE, marks=pytest.mark.slow)])
def test_drops_are_those_of_the_whole_image(make, value):
    keras.utils.set_random_seed(2)
    model = make()
    logits = keras.models.clone_model(model)
    logits.set_weights(model.get_weights())
    logits.layers[-1].activation = None
    patch, stride = 5, 4
    starts = begins(patch, stride)
    steps = local_changes.plan(model, (33, 29), starts, (patch, patch))
    assert "last" in [step.layer.name for step in steps]
    corners = [(top, left) for top in starts[0] for left in starts[1]]
    copies = np.repeat(IMAGES[None], len(corners), axis=0)
    for copy, (top, left) in zip(copies, corners, strict=True):
        here = np.s_[top : top + patch, left : left + patch]
        copy[:, *here] = np.broadcast_to(value, PICTURE.shape)[here]
    whole = logits.predict(IMAGES, verbose=0)[:, 1]
    scores = logits.predict(copies.reshape(-1, 33, 29, 2), verbose=0)[:, 1].reshape(-1, 3)
    total, count = np.zeros((3, 33, 29)), np.zeros((33, 29))
    for (top, left), score in zip(corners, scores, strict=True):
        here = np.s_[top : top + patch, left : left + patch]
        total[:, *here] += (whole - score)[:, None, None]
        count[here] += 1
    maps = occlusion(model, IMAGES, 1, patch=patch, stride=stride, value=value, batch_size=50)
    np.testing.assert_allclose(maps, total / count, atol=1e-5)
    assert np.abs(maps).max() > 0.01


@pytest.mark.slow
def test_mixed_precision(monkeypatch):
    inputs = keras.Input((33, 29, 2), dtype="float32")
    x = keras.layers.ZeroPadding2D(1, dtype="mixed_bfloat16")(inputs)
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu", dtype="mixed_bfloat16")(x)
    x = keras.layers.Conv2D(4, 3, padding="same", dtype="mixed_bfloat16")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, dtype="float32")(keras.layers.Flatten(dtype="bfloat16")(x)))
    maps = occlusion(model, IMAGES, 1)
    monkeypatch.setattr(local_changes, "plan", lambda *_: [])
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(maps, occlusion(other, IMAGES, 1), atol=0.02 * np.abs(maps).max())


def test_windows_are_what_a_change_reaches():
    model = chain()
    starts = begins(4, 4)
    steps = local_changes.plan(model, (33, 29), starts, (4, 4))
    model.layers[1].activation = None  # Where a rectifier is off, no change goes on.
    outputs = keras.Model(model.inputs[0], [step.layer.output for step in steps])
    before = outputs(IMAGES[:1])
    for row, top in enumerate(starts[0]):
        for column, left in enumerate(starts[1]):
            changed = IMAGES[:1].copy()
            changed[:, top : top + 4, left : left + 4] += 1
            for step, old, new in zip(steps, before, outputs(changed), strict=True):
                reached = (np.abs(old - new)[0] > 1e-6).any(axis=-1)
                window = np.zeros_like(reached)
                first = step.starts[0][row], step.starts[1][column]
                window[first[0] : first[0] + step.size[0], first[1] : first[1] + step.size[1]] = True
                assert not (reached & ~window).any(), step.path
                if 8 <= top <= 20 and 8 <= left <= 16:
                    # Inside the picture a window is at most one row and column more than what is reached here: as
                    # large as the largest.
                    assert reached.any(axis=1).sum() >= step.size[0] - 1
                    assert reached.any(axis=0).sum() >= step.size[1] - 1


def test_leaves_other_models_alone():
    class Written(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = layers() + head()

        def call(self, images):
            for part in self.parts:
                images = part(images)
            return images

    inputs = keras.Input((33, 29, 2))
    elsewhere = keras.layers.Conv2D(2, 1)
    elsewhere(keras.Input((5, 5, 2)))
    convolution = keras.layers.Conv2D(2, 3, padding="same")
    twice = keras.Model(inputs, convolution(convolution(inputs)))
    forked = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs) + inputs)
    seen_twice = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs) + elsewhere(inputs))
    dilated = keras.Sequential([inputs, keras.layers.Conv2D(2, 3, dilation_rate=2)])
    depthwise = keras.Sequential([inputs, keras.layers.DepthwiseConv2D(3)])
    by_rows = keras.Sequential([inputs, keras.layers.BatchNormalization(axis=1), keras.layers.Conv2D(2, 3)])
    shaded = keras.Sequential([inputs, keras.layers.Rescaling(PICTURE), keras.layers.Conv2D(2, 3)])
    relative = keras.Sequential([inputs, keras.layers.Conv2D(2, 3, activation=lambda x: x / keras.ops.max(x))])
    written = Written()
    written(IMAGES)
    for model in (written, twice, forked, seen_twice, dilated, depthwise, by_rows, shaded, relative):
        assert local_changes.plan(model, (33, 29), begins(4, 4), (4, 4)) == []
    # A patch of nearly the whole image reaches all at once.
    assert local_changes.plan(chain(), (33, 29), begins(28, 1), (28, 28)) == []
