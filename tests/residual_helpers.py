"""What the tests of the residual networks share: random weights, and the layers written out in NumPy."""

import keras
import numpy as np


def randomize(model: keras.Model, seed: int = 0) -> None:
    """Gives every weight, biases and moving statistics too, a value that no initializer would give."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        values = []
        for weight in layer.weights:
            shape = tuple(weight.shape)
            if weight.name == "kernel":
                values.append(random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape))
            elif weight.name in ("gamma", "moving_variance"):
                values.append(random.uniform(0.5, 1.5, shape))
            else:
                values.append(random.normal(0, 0.3, shape))
        layer.set_weights(values)


class InNumpy:
    """The layers of the papers for one image, with the weights of a model's layers.

    Args:
        model: Where the weights are.
    """

    def __init__(self, model: keras.Model) -> None:
        self.weights = {
            layer.name: {weight.name: weight.numpy().astype("float64") for weight in layer.weights}
            for layer in model.layers
        }

    def convolve(self, x: np.ndarray, name: str, strides: int = 1, kernel: np.ndarray | None = None) -> np.ndarray:
        """Kernels of odd sides, centred on every `strides`-th pixel, zeros around the image."""
        kernel = self.weights[name]["kernel"] if kernel is None else kernel
        size, half = kernel.shape[0], kernel.shape[0] // 2
        x = np.pad(x, ((half, half), (half, half), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1))[::strides, ::strides]
        return np.einsum("hwcij,ijco->hwo", windows, kernel, optimize=True)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        w = self.weights[name]
        return w["gamma"] * (x - w["moving_mean"]) / np.sqrt(w["moving_variance"] + 1e-5) + w["beta"]

    def convolve_norm(self, x: np.ndarray, name: str, strides: int = 1) -> np.ndarray:
        return self.norm(self.convolve(x, name, strides), f"{name}_norm")

    def logits(self, x: np.ndarray) -> np.ndarray:
        w = self.weights["logits"]
        return x.mean((0, 1)) @ w["kernel"] + w["bias"]


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)
