"""`pretrained`: our graphs filled with published weights, and `freeze`, to keep some of them still."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl.architectures.checks import check_choice, check_classes, check_image_shape
from kerasdl.architectures.published import PUBLISHED, WEIGHTS, Published

# Means and deviations of ImageNet's colours: those of Caffe on 0 to 255, and those of Torch on 0 to 1.
CAFFE_MEAN = (123.68, 116.779, 103.939)
TORCH_MEAN, TORCH_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# What differs between an ImageNet network and one for another task or another size of image.
_HEADS = ("fc1", "fc2", "logits")
# What `weights` may be besides a file.
_NOT_FILES = ("published", "imagenet")


def pretrained(
    name: str,
    *,
    weights: str | os.PathLike = "published",
    classes: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
    preprocessing: str | None = None,
) -> keras.Model:
    """One of our networks with published weights, most of them ImageNet's; it takes RGB images in [0, 1].

    The first layer, `preprocessing`, does what the weights expect. Where they were trained on BGR images, the first
    convolution's kernels are turned instead, so that its filters can be looked at as they are.

    `squeezenet1_1` works without a network: its weights ship with kerasdl. So do those of `shapes_cnn`, which knows the
    ten figures of `kerasdl.data.load("shapes/one")` and nothing else; `kerasdl.data.info("shapes/one").classes` names
    them. All others come from `keras.applications`, which downloads them once.

    Args:
        name: Which network: `vgg16`, `vgg19`, `resnet50`, `resnet101`, `resnet152`, `densenet121`, `densenet169`,
            `densenet201`, `convnext_tiny`, `convnext_small`, `convnext_base`, `convnext_large`, `squeezenet1_1` or
            `shapes_cnn`.
        weights: "published", or "imagenet" for what was trained there; or the file of the same application's weights
            with its 1,000 classes, `.weights.h5` or `.h5`; or an `.npz` of arrays named `layer/weight` after the
            application's layers.
        classes: None for those of the published weights, 1,000 or the 10 figures; with any other number the head is a
            fresh one, for fine-tuning.
        input_shape: Height, width and 3 channels; the paper's unless told otherwise.
        preprocessing: Only for a file: how its weights were trained. "keras", as the application's, or "torch", on RGB
            images less their mean and divided by their deviation.

    Example:
        >>> model = pretrained("squeezenet1_1")
        >>> model.predict(np.zeros((1, 224, 224, 3)), verbose=0).shape
        (1, 1000)

    Reference:
        [keras.applications](https://keras.io/api/applications/);
        [SqueezeNet's weights](https://github.com/forresti/SqueezeNet)
    """
    network = PUBLISHED[check_choice("name", name, PUBLISHED)]
    classes = network.classes if classes is None else check_classes(classes)
    if preprocessing is not None:
        check_choice("preprocessing", preprocessing, ("keras", "torch"))
        if weights in _NOT_FILES:
            raise ValueError(
                "`preprocessing` tells how the weights in a file were trained; of published ones it is known: leave it "
                f"out, or give `weights`, the file. Received: preprocessing={preprocessing!r}, weights={weights!r}."
            )
    options = {} if input_shape is None else {"input_shape": check_image_shape(input_shape)}
    if options and options["input_shape"][2] != 3:
        raise ValueError(
            "`input_shape` must have 3 channels: the weights were trained on RGB images. "
            f"Received: input_shape={options['input_shape']}."
        )
    arrays = _read(name, network, weights)
    style = "torch" if preprocessing == "torch" else network.preprocessing
    if style == "caffe":
        first = f"{network.first}/kernel"
        if first not in arrays:
            raise ValueError(f"`weights` must hold {first}. Received: {', '.join(sorted(arrays)) or 'nothing'}.")
        arrays[first] = arrays[first][:, :, ::-1]
    model = _begin_with(_preprocess(style), network.builder(classes=classes, **options))
    _fill(model, network.translate(arrays), whole_head=classes == network.classes)
    return model


def freeze(model: keras.Model, until: str | None) -> keras.Model:
    """Keeps the weights of a layer, and of all that lead to it, as they are, and lets all others learn.

    Batch normalisations among them work with their moving statistics from then on, as Keras does it.

    Args:
        model: Any functional model.
        until: Name of the last layer to be kept still; None lets everything learn again.

    Returns:
        The same model. Compile it after freezing: a model that is compiled already does not notice.

    Example:
        >>> model = freeze(pretrained("squeezenet1_1", classes=10), until="stage4_out")
        >>> [layer.name for layer in model.layers if layer.trainable and layer.weights]
        ['conv10']

    Reference:
        [Yosinski et al., 2014](https://arxiv.org/abs/1411.1792), How transferable are features?
    """
    names = [layer.name for layer in model.layers]
    still = []
    if until is not None:
        if getattr(model, "inputs", None) is None:
            raise ValueError(
                "`model` must be a graph of layers, as keras.Model(inputs, outputs) makes it: which layers lead to "
                f"`until` cannot be told of others. Received: {model.name!r} of the class {type(model).__name__}. Set "
                "`layer.trainable = False` of each layer by hand."
            )
        if until not in names:
            raise ValueError(f"`until` must name a layer of {model.name!r}, which has {names}. Received: {until!r}.")
        still = keras.Model(model.inputs, model.get_layer(until).output).layers
    for layer in model.layers:
        layer.trainable = not any(layer is other for other in still)
    if model.compiled:
        warnings.warn(
            f"{model.name!r} is compiled already and goes on learning with the weights it had: compile it again.",
            stacklevel=2,
        )
    return model


def imagenet_classes() -> list[str]:
    """The names of ImageNet's 1,000 classes, in the order in which every network trained on them gives them.

    Example:
        >>> imagenet_classes()[281]
        'tabby'

    Reference:
        [Russakovsky et al., 2014](https://arxiv.org/abs/1409.0575)
    """
    return (WEIGHTS / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines()


def _read(name: str, network: Published, weights: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays by their names in `keras.applications` (or in Caffe, for SqueezeNet)."""
    if weights == "imagenet" and network.data != "imagenet":
        raise ValueError(
            f'{name!r} learnt {network.data}: `weights` must be "published" or a file. Received: {weights!r}.'
        )
    is_file = weights not in _NOT_FILES
    if not is_file and network.shipped is not None:
        return _read_npz(network.shipped)
    path = Path(weights) if is_file else None
    if path is not None and path.suffix not in (".npz", ".h5"):
        raise ValueError(f'`weights` must be "published" or a file .weights.h5, .h5 or .npz. Received: {weights!r}.')
    if path is not None and not path.is_file():
        raise ValueError(f"`weights` must be a file that exists. Received: {weights!r}.")
    if path is not None and path.suffix == ".npz":
        return _read_npz(path)
    if network.application is None:
        raise ValueError(f"{name!r} is not in keras.applications: `weights` must be an .npz. Received: {weights!r}.")
    make: Any = getattr(keras.applications, network.application)
    try:
        application = make(weights="imagenet" if path is None else None)
        if path is not None:
            application.load_weights(path)
    except Exception as error:
        if path is None:
            raise OSError(
                f"The weights of {name!r} could not be downloaded ({_one_line(error)}). Without a network give the "
                'file, weights="….h5" or "….npz", or take "squeezenet1_1", which ships with kerasdl.'
            ) from error
        raise ValueError(
            f"`weights` must be those of keras.applications.{network.application} with 1,000 classes. "
            f"Received: {weights!r} ({_one_line(error)})."
        ) from error
    return {
        f"{layer.name}/{weight.name}": np.asarray(weight) for layer in _flat(application) for weight in layer.weights
    }


def _flat(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers, also those of the models inside the model."""
    return [inner for layer in model.layers for inner in (_flat(layer) if isinstance(layer, keras.Model) else [layer])]


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key].astype("float32") for key in file.files}


def _one_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _preprocess(style: str) -> keras.layers.Layer:
    """RGB in [0, 1] to the numbers on which the weights were trained, the channels still in the order RGB."""
    if style == "caffe":
        scale, offset = [255.0] * 3, [-mean for mean in CAFFE_MEAN]
    elif style == "centred":
        scale, offset = [2.0] * 3, [-1.0] * 3
    else:
        scale = [1 / deviation for deviation in TORCH_DEVIATION]
        offset = [-mean / deviation for mean, deviation in zip(TORCH_MEAN, TORCH_DEVIATION, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="preprocessing")


def _begin_with(first: keras.layers.Layer, model: keras.Model) -> keras.Model:
    """The same flat graph, with a layer between the images and all that sees them."""
    made: dict[str, keras.KerasTensor] = {}

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        if args and getattr(args[0], "name", None) == model.inputs[0].name:
            if not made:
                made["images"] = first(args[0])
            args = (made["images"], *args[1:])
        return layer(*args, **kwargs)

    return keras.models.clone_model(model, call_function=call)


def _fill(model: keras.Model, arrays: Mapping[str, np.ndarray], *, whole_head: bool) -> None:
    """Gives every weight its array. Only a head may stay fresh, and if it was not asked for, a warning says so."""
    rest, fresh = dict(arrays), set()
    for layer in model.layers:
        is_head = layer.name in _HEADS
        for weight in layer.weights:
            array = rest.pop(f"{layer.name}/{weight.name}", None)
            if array is not None and array.shape == tuple(weight.shape):
                weight.assign(array)
            elif is_head or layer.name == "conv10":
                fresh.add(layer.name)
            else:
                found = "nothing" if array is None else f"shape {array.shape}"
                raise ValueError(
                    f"`weights` must hold {layer.name}/{weight.name} of shape {tuple(weight.shape)}. Received: {found}."
                )
    if rest:
        raise ValueError(f"`weights` holds what {model.name!r} has no place for: {', '.join(sorted(rest))}.")
    if fresh - (set() if whole_head else {"logits", "conv10"}):
        warnings.warn(
            f"{', '.join(sorted(fresh))} of {model.name!r} did not find weights of their size and start afresh.",
            stacklevel=3,
        )
