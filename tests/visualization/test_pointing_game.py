"""Do maps point at the object? Measured where its mask is known, with the network that ships."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from scipy.ndimage import distance_transform_edt

from kerasdl.architectures import pretrained
from kerasdl.data import shapes
from kerasdl.visualization import grad_cam, guided_backpropagation, occlusion, saliency


@pytest.fixture(scope="module")
def examples():
    """The first test images of `shapes/one`, their kinds and masks; drawing them all takes long."""
    drawn = [shapes.draw_one(np.random.default_rng([1998, 1, index]), index % 10, 64) for index in range(100)]
    images, labels, masks = (np.stack([each[name] for each in drawn]) for name in ("image", "label", "mask"))
    return images.astype("float32") / 255, labels, masks[..., 0].astype(bool)


@pytest.fixture(scope="module")
def network():
    return pretrained("shapes_cnn")


def hits(maps, masks):
    """The share of maps that are largest on the object; where several pixels are, the share of them counts."""
    largest = maps == maps.max(axis=(1, 2), keepdims=True)
    return ((largest & masks).sum(axis=(1, 2)) / largest.sum(axis=(1, 2))).mean()


def near(masks):
    """The pointing game's margin: 15 pixels on photographs of 500 are two of 64."""
    return np.stack([distance_transform_edt(~mask) <= 2 for mask in masks])


def energy(maps, masks):
    """The share of what is above zero that lies on the object."""
    maps = np.maximum(maps, 0)
    return ((maps * masks).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))).mean()


def test_maps_point_at_the_object_and_baselines_do_not(network, examples):
    images, labels, masks = examples
    assert (network.predict(images, verbose=0).argmax(axis=1) == labels).mean() >= 0.97
    # What one gets without looking: anywhere, or always in the middle.
    anywhere = np.random.default_rng(0).random(masks.shape)
    rows, columns = np.mgrid[:64, :64] - 31.5
    middle = np.broadcast_to(np.exp(-(rows**2 + columns**2) / 200), masks.shape)
    for baseline in (anywhere, middle):
        assert hits(baseline, near(masks)) < 0.4
        assert energy(baseline, masks) < 0.2
    for count, method in ((100, grad_cam), (30, occlusion)):
        maps = method(network, images[:count], labels[:count])
        # In the last maps a ring is best seen from its middle, which is not on it.
        assert hits(maps, near(masks[:count])) >= 0.9
        assert hits(maps, masks[:count]) >= 0.85
        assert energy(maps, masks[:count]) > 2 * energy(middle, masks)


@pytest.mark.slow
def test_maps_of_a_network_that_has_lost_what_it_learnt(examples):
    # Adebayo et al., 2018: the layer of the scores alone, then all layers, their weights shuffled.
    network = pretrained("shapes_cnn")
    images, labels = (each[:24] for each in examples[:2])
    methods = (grad_cam, guided_backpropagation, saliency)
    before = {method: method(network, images, labels) for method in methods}
    learnt, rng = network.get_weights(), np.random.default_rng(0)
    left = {(method, layers): [] for method in methods for layers in ("scores", "all")}
    for _ in range(3):
        network.set_weights(learnt)
        for layers in ("scores", "all"):
            for layer in [network.get_layer("logits")] if layers == "scores" else network.layers:
                weights = [rng.permutation(each.reshape(-1)).reshape(each.shape) for each in layer.get_weights()]
                layer.set_weights(weights)
            for method, old in before.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # A map may be empty now: its correlation counts as 0.
                    pairs = [np.abs(each).reshape(24, -1) for each in (old, method(network, images, labels))]
                    found = [scipy.stats.spearmanr(*pair).statistic for pair in zip(*pairs, strict=True)]
                left[method, layers].append(np.mean(np.nan_to_num(found)))
    left = {key: np.mean(values) for key, values in left.items()}
    assert left[grad_cam, "scores"] < 0.4
    assert left[grad_cam, "all"] < 0.2
    # What is wrong with guided backpropagation: it shows the image's edges, whatever the network knows.
    assert left[guided_backpropagation, "scores"] > 0.8
    assert left[guided_backpropagation, "scores"] > left[saliency, "scores"]
    others = [
        scipy.stats.spearmanr(*pair).statistic
        for pair in pairwise(np.abs(before[guided_backpropagation]).reshape(24, -1))
    ]
    assert left[guided_backpropagation, "all"] > max(np.mean(others), left[grad_cam, "all"]) + 0.1
