"""The captioner: an image in, a sentence about it out."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.layers import AddCoordinates, FastConv2D, FusedBatchNormalization
from kerasdl.sequences import text
from kerasdl.sequences.caption_decoder import CaptionDecoder
from kerasdl.sequences.checks import check_whole
from kerasdl.sequences.recurrent import check_recurrent, stack

_SHUFFLED = 1000  # pairs among which one is drawn
# The encoder where none is given: filters, side of the kernel, step. A place of its maps sees 29x29 pixels.
_ENCODER = ((16, 5, 2), (24, 3, 1), (48, 3, 2), (64, 3, 1), (64, 3, 1))
# A vector for the whole image is made of so many places each way.
_PLACES = 4
# The captioner's own layers, after which no layer of an encoder may be called.
_OWN = ("captions", "words", "embedding", "coarse", "places", "image", "features")
_OWN_LAYERS = (*_OWN, "decoder", "dropout", "logits", "predictions")


def _encode(images: Any) -> Any:
    """A feature map of a quarter of the image's sides."""
    x = images
    for index, (filters, size, strides) in enumerate(_ENCODER, start=1):
        options: dict[str, Any] = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
        x = FastConv2D(filters, size, strides=strides, name=f"conv{index}", **options)(x)
        x = FusedBatchNormalization(momentum=0.9, epsilon=1e-5, name=f"conv{index}_norm")(x)
        x = keras.layers.ReLU(name=f"conv{index}_relu")(x)
    return x


def _begin(input_shape: Sequence[int] | None, encoder: keras.Model | None) -> tuple[Any, Any]:
    """The images and their feature map, in one graph with the encoder's layers."""
    if encoder is None:
        shape = (64, 64, 3) if input_shape is None else tuple(input_shape)
        if len(shape) != 3 or not all(isinstance(side, int) and side >= (16, 16, 1)[i] for i, side in enumerate(shape)):
            raise ValueError(
                "`input_shape` must be (height, width, channels), with sides of at least 16 pixels. "
                f"Received: input_shape={input_shape!r}."
            )
        images = keras.Input(shape, name="images")
        return images, _encode(images)
    if input_shape is not None:
        raise ValueError(
            f"Give `input_shape` or `encoder`, which has its own. Received: input_shape={input_shape!r} and an encoder."
        )
    inputs, outputs = getattr(encoder, "inputs", None) or [], getattr(encoder, "outputs", None) or []
    shapes = [tuple(each.shape) for each in (*inputs, *outputs)]
    if len(inputs) != 1 or len(shapes) != 2 or any(len(each) != 4 or None in each[1:] for each in shapes):
        raise ValueError(
            "`encoder` must be a functional model from images of a known size to one feature map, (batch, height, "
            "width, channels), as keras.Model(network.inputs, network.get_layer(...).output) makes. "
            f"Received: {encoder!r} of shapes {shapes}."
        )
    taken = [layer.name for layer in encoder.layers if layer.name in _OWN_LAYERS or layer.name.startswith("upper")]
    if taken:
        raise ValueError(
            f"`encoder` must have other names for its layers than {', '.join(map(repr, _OWN_LAYERS))} and 'upper...', "
            f"which the captioner gives its own. Received: an encoder with {', '.join(map(repr, taken))}."
        )
    return inputs[0], outputs[0]


def captioner(
    vocabulary: Sequence[str],
    *,
    input_shape: Sequence[int] | None = None,
    encoder: keras.Model | None = None,
    cell: str = "gru",
    units: int = 128,
    embedding: int = 32,
    layers: int = 1,
    attention: bool = True,
    dropout: float = 0.0,
    name: str = "captioner",
) -> keras.Model:
    """Says what is in an image: the probability of each word, given the image and the words before it.

    Without attention a vector v is made of the whole image, and read beside the word at every step; with Elman's cell
    that is `h_t = tanh(W_xh x_t + W_hh h_{t-1} + W_ih v + b)`. With attention the state looks at the feature map before
    each word: what it sees there goes into the next state and into the prediction. The vector makes the first state;
    the mean of the features, which the paper takes, does not know what lies where, and "above" is learnt more slowly.

    Train it on what `caption_batches` makes; `caption` writes.

    Args:
        vocabulary: The words, as `kerasdl.sequences.vocabulary` makes.
        input_shape: Height, width and channels of the images; (64, 64, 3) without it.
        encoder: A functional model from images to a feature map, whose layers become the captioner's; its weights are
            trained on, but for layers that are not `trainable`. A small convolutional network without it.
        cell: `"elman"`, `"gru"` or `"lstm"`.
        units: The size of the state and of the image's vector; attention's v has half of it.
        embedding: The length of the vector that a word is read as.
        layers: How many recurrent layers write. Only the first sees the image; those above read what it gives.
        attention: Whether each word looks at the feature map.
        dropout: The share of each recurrent layer's outputs that is dropped in training.
        name: The model's name.

    Returns:
        A model from `[images, captions]`, the captions as strings, to probabilities `(batch, words + 1, 4 +
        len(vocabulary))`: of padding, of what the vocabulary lacks, of start, of end, and of the vocabulary.

    Example:
        >>> model = captioner(["star", "a"], input_shape=(16, 16, 3), units=8, embedding=4)
        >>> model([tf.zeros((1, 16, 16, 3)), tf.constant(["a star"])]).shape
        TensorShape([1, 3, 6])

    Reference:
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), Show, attend and tell
    """
    check_recurrent(cell, units, layers, dropout)
    check_whole("embedding", embedding)
    words = text.to_ids(vocabulary, text.split_words_after_start, name="words", ends=True)
    images, image = _begin(input_shape, encoder)
    captions = keras.Input((), dtype="string", name="captions")
    x = keras.layers.Embedding(words.vocabulary_size(), embedding, mask_zero=True, name="embedding")(words(captions))
    # One vector for the whole image, which remembers where things are: the mean of a map would forget it.
    size = tuple(max(1, side // _PLACES) for side in image.shape[1:3])
    coarse = keras.layers.Flatten(name="places")(keras.layers.MaxPooling2D(size, name="coarse")(image))
    vector = keras.layers.Dense(units, "relu", name="image")(coarse)
    if attention:
        image = AddCoordinates(name="features")(image)
        x, _ = CaptionDecoder(units, cell, attention=max(1, units // 2), name="decoder")([x, vector, image])
    else:
        x = CaptionDecoder(units, cell, name="decoder")([x, vector])
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    if layers > 1:
        options: dict[str, Any] = {"cell": cell, "units": units, "layers": layers - 1, "dropout": dropout}
        x = stack(x, **options, return_sequences=True, name="upper")
    x = keras.layers.Dense(words.vocabulary_size(), dtype="float32", name="logits")(x)
    outputs = keras.layers.Activation("softmax", dtype="float32", name="predictions")(x)
    return keras.Model([images, captions], outputs, name=name)


def decoder_of(model: Any) -> CaptionDecoder:
    """The layer that writes; refuses a model of another kind."""
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, CaptionDecoder):
            return layer
    raise TypeError(f"`model` must be one that kerasdl.sequences.captioner made. Received: {model!r}.")


def caption_batches(
    model: keras.Model, pairs: Any, *, batch_size: int = 50, shuffle: bool = False, seed: int = 0
) -> tf.data.Dataset:
    """What trains a captioner: images and captions in, and what is to be said at each step, which ends with the end.

    Args:
        model: What `captioner` made.
        pairs: `(image, caption)`: a list, or a data set of single ones or batches, as
            `kerasdl.data.load("shapes/pair")` gives.
        batch_size: How many single ones make a batch; batches stay as they are, unless they are shuffled.
        shuffle: Whether they come in another order in every epoch, each drawn from the next 1000.
        seed: Where the chance of `shuffle` starts: a whole number of at least 0.

    Returns:
        Batches `((images, captions), numbers of words)`, padded with 0; for `fit` and `evaluate`. The padding counts
        neither in the loss nor in the metrics. A word that the vocabulary lacks has the number 1, and `caption` never
        writes it.

    Example:
        >>> model = captioner(["star", "a"], input_shape=(16, 16, 3), units=8, embedding=4)
        >>> pairs = tf.data.Dataset.from_tensors((np.zeros((16, 16, 3), "float32"), "a star"))
        >>> [targets.numpy().tolist() for _, targets in caption_batches(model, pairs)]
        [[[5, 4, 3]]]

    Reference:
        [Williams and Zipser, 1989](https://doi.org/10.1162/neco.1989.1.2.270): teacher forcing
    """
    decoder_of(model)
    check_whole("batch_size", batch_size)
    check_whole("seed", seed, least=0)
    wanted = tuple(model.inputs[0].shape[1:])
    if isinstance(pairs, list):
        pairs = _as_data(pairs)
    spec = getattr(pairs, "element_spec", None)
    if not isinstance(spec, tuple) or len(spec) != 2 or getattr(spec[1], "dtype", None) != tf.string:
        given = spec or type(pairs).__name__
        raise TypeError(f"`pairs` must be a list or a tf.data.Dataset of (image, caption). Received: {given}.")
    image, words = spec
    single = words.shape.rank == 0
    shape = image.shape if single else image.shape[1:]
    if not image.dtype.is_floating or not shape.is_compatible_with(wanted) or words.shape.rank not in (0, 1):
        raise ValueError(
            f"`pairs` must have images of the model's shape {wanted}, as floating numbers in [0, 1], and a string for "
            f"each. Received: {image.dtype.name} of shape {shape} and captions of shape {words.shape}."
        )
    to_ids = text.to_ids(
        model.get_layer("words").get_vocabulary()[4:], text.split_words_before_end, name="words", ends=True
    )

    def split(images: Any, captions: Any) -> tuple:
        numbers = to_ids(captions)
        good = (
            (
                tf.reduce_all(numbers[:, 0] != text.END_ID),
                "`pairs` must have words in every caption. Received: an empty one.",
            ),
            (
                tf.reduce_all((images >= 0) & (images <= 1)),
                "`pairs` must have images in [0, 1]. Received other numbers: divide images of whole numbers by 255.",
            ),
        )
        with tf.control_dependencies([tf.debugging.Assert(*each) for each in [(c, [m]) for c, m in good]]):
            return (tf.identity(images), captions), numbers

    if shuffle:
        pairs = (pairs if single else pairs.unbatch()).shuffle(_SHUFFLED, seed=seed)
    return (
        (pairs.batch(batch_size) if single or shuffle else pairs)
        .map(split, tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _as_data(pairs: list[Any]) -> tf.data.Dataset:
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"`pairs` must be a list of (image, caption). Received: one that is {type(pair).__name__}.")
        text.check_string("pairs", pair[1])
    shapes = {np.shape(image) for image, _ in pairs}
    if len(shapes) != 1:
        raise ValueError(f"`pairs` must have at least one image, and all of one shape. Received: {sorted(shapes)}.")
    images, captions = zip(*pairs, strict=True)
    return tf.data.Dataset.from_tensor_slices((np.stack(images), list(captions)))
