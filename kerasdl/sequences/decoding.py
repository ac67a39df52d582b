"""What all that writes shares: functions compiled once per model, and the search for the most likely sentence."""

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kerasdl.sequences.checks import check_length_penalty, check_whole

_KEPT = 64  # compiled functions per model
_compiled: weakref.WeakKeyDictionary[keras.Model, dict] = weakref.WeakKeyDictionary()

# (last words (rows,), state) -> (log probabilities (rows, words), state, what was looked at (rows, places))
Step = Callable[[tf.Tensor, Any], tuple[tf.Tensor, Any, tf.Tensor]]


def compiled(model: keras.Model, function: Callable, /, **options: Any) -> Callable[..., Any]:
    """`function(model, *tensors, **options)` as a function of the tensors, compiled once and kept with the model.

    The first axis of the tensors may have any length from call to call, without another compilation. A tensor without
    axes, such as a seed, stays one. Weights that training changes are seen, for they are read where they stand.

    Args:
        model: Any Keras model.
        function: Must not hold on to the model or its layers: no closure, only a function of a module.
        options: Hashable values that are built into the graph.

    Returns:
        A function of anything that makes tensors.

    Example:
        >>> def answer(model, x, *, times):
        ...     return times * model(x)
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
        >>> compiled(model, answer, times=2.0)([[3.0]]).numpy().tolist()
        [[6.0]]
    """
    kept = _compiled.setdefault(model, {})
    reference = weakref.ref(model)

    def run(*tensors: Any) -> Any:
        tensors = tuple(tf.convert_to_tensor(tensor) for tensor in tensors)
        specs = tuple(
            tf.TensorSpec([None, *tensor.shape[1:]] if tensor.shape.rank else [], tensor.dtype) for tensor in tensors
        )
        key = (function, tuple(sorted(options.items())), specs)
        if key not in kept:
            if len(kept) >= _KEPT:
                del kept[next(iter(kept))]
            # A partial, not a lambda: TensorFlow counts tracings by the code, and would warn of many functions of one.
            body = functools.partial(_run, function, reference, options)
            kept[key] = tf.function(body, input_signature=specs, autograph=False).get_concrete_function()
        return kept[key](*tensors)

    return run


def _run(function: Callable, reference: weakref.ref, options: dict[str, Any], *tensors: tf.Tensor) -> Any:
    return function(reference(), *tensors, **options)


def beam_search(
    step: Step,
    state: Any,
    *,
    start: int,
    end: int,
    length: int,
    beam_width: int = 1,
    length_penalty: float = 0.0,
    never: Sequence[int] = (),
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The most likely sentences that a step function can write: of each the `beam_width` best beginnings are followed.

    Beginnings are ranked by `log P(words) / ((5 + |words|) / 6) ** length_penalty`: every word makes a sentence less
    likely, so that without a penalty short ones win. With one beginning this is greedy search. A sentence that has
    ended keeps its place and its score, and competes with those that go on. The search ends when nothing that goes on
    can become better than what has ended. It is one loop of TensorFlow, to be called inside a compiled function.

    Args:
        step: `(last words (rows,) int32, state)` to `(log probabilities (rows, words), new state, what was looked at
            (rows, places))`. The rows are the sentences' beginnings, `beam_width` for each sentence, side by side.
            What stays the same in all steps should not be in the state, but be repeated once, as in
            `tf.repeat(memory, beam_width, axis=0)`.
        state: Nested tensors with one row per sentence.
        start: The number of the word that all begin with.
        end: The number of the word that ends a sentence.
        length: The most words of a sentence, the end among them; what has not ended then is cut.
        beam_width: How many beginnings are followed.
        length_penalty: Alpha in the formula above, at least 0. 0.6 to 0.7 is usual for translations.
        never: Numbers of words that are not to be written.

    Returns:
        The best sentence of each: numbers of words `(sentences, length)`, with `end` from its end on; its ranking score
        `(sentences,)`; and what was looked at for each word, `(sentences, length, places)`, 0 behind the end.

    Reference:
        [Wu et al., 2016](https://arxiv.org/abs/1609.08144), section 7
    """
    check_whole("length", length)
    check_whole("beam_width", beam_width)
    length_penalty = check_length_penalty(length_penalty)
    sentences = tf.shape(tf.nest.flatten(state)[0])[0]
    rows = sentences * beam_width
    state = tf.nest.map_structure(lambda part: tf.repeat(part, beam_width, axis=0), state)
    words = tf.fill([rows], start)
    # All beginnings of a sentence are the same at first: but one would be doubles.
    scores = tf.tile([0.0] + [-float("inf")] * (beam_width - 1), [sentences])

    def penalty(lengths: Any) -> tf.Tensor:
        return ((5.0 + tf.cast(lengths, "float32")) / 6.0) ** length_penalty

    def goes_on(
        at: tf.Tensor, words: Any, scores: tf.Tensor, lengths: tf.Tensor, ended: tf.Tensor, *_: Any
    ) -> tf.Tensor:
        # Words to come can only lower the sum, and the longest sentence divides it by most.
        best = tf.where(ended, scores / penalty(lengths), -float("inf"))
        hoped = tf.where(ended, -float("inf"), scores / penalty(length))
        best, hoped = (tf.reduce_max(tf.reshape(x, [-1, beam_width]), axis=1) for x in (best, hoped))
        return tf.reduce_any(hoped > best)

    def body(
        at: tf.Tensor,
        words: tf.Tensor,
        scores: tf.Tensor,
        lengths: tf.Tensor,
        ended: tf.Tensor,
        written: tf.Tensor,
        looked: tf.Tensor,
        state: Any,
    ) -> tuple:
        log_probabilities, state, now = step(words, state)
        vocabulary = tf.shape(log_probabilities)[1]
        number = tf.range(vocabulary)
        forbidden = tf.reduce_any(number[:, None] == tf.constant(list(never), "int32")[None], axis=1)
        log_probabilities = tf.where(forbidden, -float("inf"), tf.cast(log_probabilities, "float32"))
        # What has ended goes on with its end, at no cost.
        log_probabilities = tf.where(
            ended[:, None], tf.where(number == end, 0.0, -float("inf"))[None], log_probabilities
        )
        sums = scores[:, None] + log_probabilities
        ranks = sums / penalty(tf.where(ended, lengths, lengths + 1))[:, None]
        _, best = tf.math.top_k(tf.reshape(ranks, [-1, beam_width * vocabulary]), beam_width)
        of_which = tf.reshape(tf.range(0, rows, beam_width)[:, None] + best // vocabulary, [-1])
        words = tf.reshape(best % vocabulary, [-1])

        def follow(part: tf.Tensor) -> tf.Tensor:
            return part if beam_width == 1 else tf.gather(part, of_which)

        scores = tf.gather_nd(sums, tf.stack([of_which, words], axis=1))
        had_ended = follow(ended)
        lengths = follow(lengths) + tf.cast(~had_ended, "int32")
        here = tf.range(length) == at
        written = tf.where(here, words[:, None], follow(written))
        now = tf.where(had_ended[:, None], 0.0, tf.cast(follow(now), "float32"))
        looked = tf.where(here[:, None], now[:, None], follow(looked))
        state = tf.nest.map_structure(follow, state)
        return at + 1, words, scores, lengths, had_ended | (words == end), written, looked, state

    variables = (
        tf.constant(0),
        words,
        scores,
        tf.zeros([rows], "int32"),
        tf.zeros([rows], "bool"),
        tf.fill([rows, length], end),
        tf.zeros([rows, length, 1]),
        state,
    )
    # The first step stands before the loop: it tells how many places are looked at.
    variables = body(*variables)
    any_rows = tf.nest.map_structure(
        lambda part: tf.TensorShape([None, *part.shape[1:]] if part.shape.rank else []), variables
    )
    _, _, scores, lengths, _, written, looked, _ = tf.while_loop(
        goes_on, body, variables, shape_invariants=any_rows, maximum_iterations=length - 1, parallel_iterations=1
    )
    ranks = tf.reshape(scores / penalty(lengths), [-1, beam_width])
    best = tf.argmax(ranks, axis=1, output_type="int32")
    rows_of_best = tf.range(sentences) * beam_width + best
    written, looked = tf.gather(written, rows_of_best), tf.gather(looked, rows_of_best)
    return written, tf.gather(tf.reshape(ranks, [-1]), rows_of_best), looked
