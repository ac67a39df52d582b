"""What comes in: images as Keras would convert them, and clear words where they cannot be right."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Input:
    """What one input of a network must be.

    Args:
        name: As in the model.
        shape: Without the batch; None where any size fits.
        dtype: What the values are converted to.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"

    def check(self, values: Any) -> np.ndarray:
        """The values, C-contiguous, of the input's dtype.

        Args:
            values: Anything that `np.asarray` knows: whole numbers and other floats are converted as Keras does.
        """
        try:
            array = np.asarray(values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self._expected()} Received: {_kind(values)}, which is no array ({error}).") from error
        self._check_kind(array, values)
        self._check_shape(array.shape)
        if array.dtype.kind in "biu":
            return np.ascontiguousarray(array, self.dtype)
        # A float64 may be too large for a float32; a whole number cannot say that it was NaN.
        floats = "float64" if self.dtype.startswith(("int", "uint")) else self.dtype
        with np.errstate(over="ignore"):
            converted = np.ascontiguousarray(array, floats)
        self._check_finite(converted)
        return converted.astype(self.dtype, copy=False)

    def _expected(self) -> str:
        return f"The images for {self.name!r} must be numbers of shape {_with_batch(self.shape)}."

    def _check_kind(self, array: np.ndarray, values: Any) -> None:
        # NumPy knows the short floats of TensorFlow only by name.
        if array.dtype.kind in "biuf" or array.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
            return
        received, advice = f"values of dtype {array.dtype}", "Convert them to float32 or uint8 first."
        if array.dtype.kind == "O" and array.ndim == 0:
            received, advice = _kind(values), "Pass arrays; of a data set or a generator, one batch after the other."
        elif array.dtype.kind == "O" and array.ndim == len(self.shape) + 1:
            advice = "Convert them with `images.astype('float32')`."
        elif array.dtype.kind == "O":
            advice = "Images of different sizes cannot be stacked: resize them first."
        elif array.dtype.kind in "US":
            advice = "Names of files must be read first, as keras.utils.load_img does."
        raise TypeError(f"{self._expected()} Received: {received}. {advice}")

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) == len(self.shape) + 1 and _fits(shape[1:], self.shape):
            if shape[0] == 0:
                raise ValueError(f"{self._expected()} Received: shape {shape}, no image at all. Pass at least one.")
            return
        advice = "Resize or reshape the images, or pack a model for this size."
        if _fits(shape, self.shape):
            advice = "The axis of the batch is missing: pass `image[None]` for one image."
        elif len(shape) == len(self.shape) and self.shape[-1] == 1 and _fits((*shape[1:], 1), self.shape):
            advice = "The axis of the channels is missing: pass `images[..., None]`."
        elif len(shape) == 4 == len(self.shape) + 1 and _fits((shape[2], shape[3], shape[1]), self.shape):
            advice = "The channels come last: pass `np.moveaxis(images, 1, -1)`."
        raise ValueError(f"{self._expected()} Received: shape {shape}. {advice}")

    def _check_finite(self, array: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            # One pass without a copy, which is not finite either where the sum overflows.
            if np.isfinite(array.sum(dtype=array.dtype)):
                return
        bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if bad.any():
            raise ValueError(
                f"The images for {self.name!r} must be finite numbers. Received: NaN or infinity in {bad.sum()} of "
                f"{len(bad)} images, first in image {bad.argmax()}. Replace such values, as np.nan_to_num does."
            )


def check_inputs(inputs: tuple[Input, ...], images: Any) -> list[np.ndarray]:
    """One array per input, all with as many images.

    Args:
        inputs: What the network takes.
        images: The array of the only input; or a list, or a dictionary by name, of one array per input.
    """
    names = [wanted.name for wanted in inputs]
    if isinstance(images, Mapping):
        if sorted(images) != sorted(names):
            raise ValueError(f"`images` must have the keys {names}. Received: the keys {list(images)}.")
        given = [images[name] for name in names]
    elif len(inputs) == 1:
        given = list(images) if _is_list_of_one(images, inputs[0]) else [images]
    elif isinstance(images, list | tuple) and len(images) == len(inputs):
        given = list(images)
    else:
        received = f"{len(images)} of them" if isinstance(images, list | tuple) else _kind(images)
        raise ValueError(
            f"`images` must be a list of {len(inputs)} arrays, or a dictionary of them, for the inputs {names}. "
            f"Received: {received}."
        )
    arrays = [wanted.check(values) for wanted, values in zip(inputs, given, strict=True)]
    counts = [len(array) for array in arrays]
    if len(set(counts)) > 1:
        raise ValueError(f"The inputs {names} must have the same number of images. Received: {counts}.")
    return arrays


def inputs_of(model: keras.Model) -> tuple[Input, ...]:
    """What the inputs of a Keras model ask for, in the order of `model.inputs`."""
    # A sequential model has one input, but no `input` before it has been called on a symbolic tensor.
    given = None if isinstance(model, keras.Sequential) else model.input
    # In a dictionary the keys are what they are called, whatever the tensors' names.
    names = {id(tensor): name for name, tensor in given.items()} if isinstance(given, Mapping) else {}
    return tuple(
        Input(
            names.get(id(tensor), tensor.name), tuple(tensor.shape[1:]), keras.backend.standardize_dtype(tensor.dtype)
        )
        for tensor in model.inputs
    )


def _is_list_of_one(images: Any, wanted: Input) -> bool:
    """Whether a list holds the only input, as Keras takes it, and not the images themselves."""
    one = isinstance(images, list | tuple) and len(images) == 1
    return one and getattr(images[0], "ndim", None) == len(wanted.shape) + 1


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(side in (None, size) for size, side in zip(shape, wanted, strict=True))


def _with_batch(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join(["N", *("any" if side is None else str(side) for side in shape)]) + ")"


def _kind(values: Any) -> str:
    return f"{type(values).__module__}.{type(values).__qualname__}"
