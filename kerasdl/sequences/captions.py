"""Writing captions with a trained model, and where each of their words looked."""

import re
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasdl.sequences import text
from kerasdl.sequences.captioning import decoder_of
from kerasdl.sequences.checks import check_length_penalty, check_whole
from kerasdl.sequences.decoding import beam_search, compiled


class Captions(NamedTuple):
    """What `caption` gives.

    Args:
        sentences: One string per image.
        words: The words of each.
        maps: `(images, words, height, width)` float32: how much `words[i][t]` looked at each place, which sums to 1;
            behind the last word 0. None without attention.
        log_probabilities: `(images,)`: log P of each sentence with its end.

    Reference:
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), section 5.4, for the maps
    """

    sentences: list[str]
    words: list[list[str]]
    maps: np.ndarray | None
    log_probabilities: np.ndarray


def caption(
    model: keras.Model,
    images: Any,
    *,
    beam_width: int = 1,
    length_penalty: float = 0.0,
    length: int = 20,
    batch_size: int = 250,
) -> Captions:
    """Writes a sentence about each image, and says where each of its words looked.

    One compiled loop, kept with the model: it is traced once for a beam width and a length.

    Args:
        model: What `captioner` made.
        images: `(N, height, width, channels)`, in [0, 1].
        beam_width: How many beginnings of each sentence are followed; 1 takes the likeliest word at each step.
        length_penalty: How much long sentences are preferred among those: they are ranked by
            `log P(words) / ((5 + |words|) / 6) ** length_penalty`. At least 0.
        length: The most words of a sentence, its end among them; a longer one is cut.
        batch_size: How many images are worked on at once.

    Returns:
        `(sentences, words, maps, log_probabilities)`, by name or in this order.

    Example:
        >>> model = kerasdl.sequences.captioner(["star", "a"], input_shape=(16, 16, 3), units=8, embedding=4)
        >>> captions = caption(model, np.zeros((2, 16, 16, 3)), length=5)
        >>> len(captions.sentences), captions.maps.shape
        (2, (2, 5, 4, 4))

    Reference:
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), section 5.4
    """
    decoder = decoder_of(model)
    images = _check_images(images, tuple(model.inputs[0].shape[1:]))
    for name, value in (("beam_width", beam_width), ("length", length), ("batch_size", batch_size)):
        check_whole(name, value)
    penalty = check_length_penalty(length_penalty)
    write = compiled(model, _write, beam_width=beam_width, length=length, length_penalty=penalty)
    # No images have results of the right shapes too: those of a black one, cut.
    given = images if len(images) else np.zeros((1, *images.shape[1:]), "float32")
    parts = [[part.numpy() for part in write(given[at : at + batch_size])] for at in range(0, len(given), batch_size)]
    numbers, ranks, looked = (np.concatenate(part)[: len(images)] for part in zip(*parts, strict=True))
    names = [str(word) for word in model.get_layer("words").get_vocabulary()]
    words = [[names[number] for number in row if number != text.END_ID] for row in numbers]
    # A sentence that has ended has its end besides.
    lengths = np.minimum([len(each) + 1.0 for each in words], length)
    scores = (ranks * ((5 + lengths) / 6) ** penalty).astype("float32")
    maps = None
    if decoder.attention is not None:
        spoken = np.arange(length) < np.array([len(each) for each in words])[:, None]
        maps = looked.reshape(*numbers.shape, *decoder.output[1].shape[2:]) * spoken[..., None, None]
    return Captions([text.join_words(each) for each in words], words, maps, scores)


def _check_images(images: Any, wanted: tuple[int, ...]) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != wanted or images.dtype.kind not in "biuf":
        raise ValueError(
            f"`images` must be numbers of shape (N, {', '.join(map(str, wanted))}). "
            f"Received: {images.dtype} of shape {images.shape}."
        )
    if not len(images):
        return images.astype("float32")
    images = images.astype("float32")
    if not (np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            "`images` must be numbers in [0, 1]: divide images of whole numbers by 255. "
            f"Received: numbers from {images.min():g} to {images.max():g}."
        )
    return images


def _write(
    model: keras.Model, images: tf.Tensor, *, beam_width: int, length: int, length_penalty: float
) -> tuple[tf.Tensor, ...]:
    """Runs the encoder once and the decoder step by step."""
    decoder, embedding, logits = decoder_of(model), model.get_layer("embedding"), model.get_layer("logits")
    encoder = keras.Model(model.inputs[0], decoder.input[1:])
    states, seen = decoder.begin(*tf.nest.flatten(encoder(images, training=False)))
    seen = tuple(tf.repeat(each, beam_width, axis=0) for each in seen)
    cells = [layer.cell for layer in model.layers if re.fullmatch(r"upper\d+", layer.name)]
    rows = tf.shape(images)[0]
    state = [states, *(list(cell.get_initial_state(batch_size=rows)) for cell in cells)]

    def step(words: tf.Tensor, state: list[Any]) -> tuple[tf.Tensor, list[Any], tf.Tensor]:
        # A copy, without the mask that cells know nothing of.
        x, first, weights = decoder.step(tf.identity(embedding(words)), state[0], seen)
        after = [first]
        for cell, before in zip(cells, state[1:], strict=True):
            x, now = cell(x, before)
            after.append(list(now))
        looked = tf.zeros([tf.shape(words)[0], 0]) if weights is None else weights
        return tf.nn.log_softmax(logits(x)), after, looked

    # Nothing is written that is no word: padding, what the vocabulary lacks, and the start.
    return beam_search(
        step,
        state,
        start=text.START_ID,
        end=text.END_ID,
        length=length,
        beam_width=beam_width,
        length_penalty=length_penalty,
        never=(text.PADDING_ID, text.UNKNOWN_ID, text.START_ID),
    )
