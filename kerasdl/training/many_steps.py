"""Many steps in one compiled call: the loop over the batches of an epoch."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.training.iterators import one_pass
from kerasdl.training.replicas import Replicas, outside_scopes
from kerasdl.training.step_parts import LOSS_IS_NOT_FINITE, Logs, loss_metric
from kerasdl.training.steps import compiled, not_finite

# One call should last about this long: long enough that starting it costs nothing, short enough for a lively progress
# bar and for Ctrl-C.
_SECONDS_PER_CALL = 0.25
_SAME_DATA = (
    "Every worker must read the same batches in the same order, of which each takes its share: give `shuffle` and all "
    "else that is random in `data` a seed, and do not shard it."
)


class ManySteps:
    """Runs a step on the batches of a data set, many in one compiled call.

    Args:
        model: The model, which says how to compile.
        step: What to do with a batch `(x, y, sample_weight)`; returns its loss and the logs.
        read_logs: Gives the logs after many steps.
        steps_per_call: Steps in one call; None finds a number that keeps a call at about a quarter of a second.
        check_loss: Whether a loss that is not finite is an error.
        fingerprints: Whether to keep fingerprints of the first and the last batch, by which they are known again.
        replicas: The replicas that share each batch; None is without a distribution strategy.
        at_end: What to do on several replicas at the end of a call, before the logs are read.
    """

    def __init__(
        self,
        model: keras.Model,
        step: Callable[[Any, Any, Any], tuple[Any, Logs]],
        read_logs: Callable[[], Logs],
        steps_per_call: int | None,
        *,
        check_loss: bool,
        fingerprints: bool = False,
        replicas: Replicas | None = None,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        replicas = Replicas() if replicas is None else replicas
        self._replicas = replicas
        fingerprints = fingerprints or replicas.workers > 1
        # Counted inside the call, so that it is right also where the call ends early.
        self._done, self._fingerprint, self._first_fingerprint, self._all_fingerprints = outside_scopes(
            lambda: [tf.Variable(0, dtype=tf.int64, trainable=False) for _ in range(4)]
        )
        self._model = model
        self._read_logs = read_logs
        self._steps_per_call = steps_per_call or 1
        self._adapts = steps_per_call is None
        self._is_traced = False
        # XLA drops the check inside the step: there the mean so far must tell.
        self._must_look_at_loss = check_loss and bool(model.jit_compile)
        # The loop itself is not for XLA, for its body takes the batches from an iterator; the step is.
        step = compiled(model, step) if model.jit_compile else step

        def step_on(batch: Any) -> Logs:
            loss, logs = step(*keras.utils.unpack_x_y_sample_weight(batch))
            with tf.control_dependencies([loss]):  # A step that failed is not counted.
                done = self._done.assign_add(1, read_value=True)
                if fingerprints:
                    fingerprint = fingerprint_of(batch)
                    self._fingerprint.assign(fingerprint)
                    first = tf.where(tf.equal(done, 1), fingerprint, self._first_fingerprint)
                    self._first_fingerprint.assign(first)
                    if replicas.workers > 1:
                        self._all_fingerprints.assign(self._all_fingerprints * 31 + fingerprint)
            return logs

        def take_step(iterator: Any) -> Logs:
            batch = iterator.get_next()
            waits_for = []
            if self._may_end_early:
                # Where the data end, nothing may be computed and no random number drawn.
                waits_for = [part for part in tf.nest.flatten(batch, expand_composites=True) if part is not None]
            with tf.control_dependencies(waits_for):
                return step_on(batch)

        def take_step_if_any(iterator: Any) -> None:
            # An error at the data's end, as above, might break off a message that another worker waits for.
            batch = iterator.get_next_as_optional()
            goes_on = batch.has_value()
            if replicas.workers > 1:
                # Who goes on alone would wait for the others, so that all end with the first whose data end.
                have_one = replicas.run(replicas.add_up, tf.cast(goes_on, tf.float32))
                all_have_one = tf.equal(have_one, float(replicas.count))
                is_left = tf.logical_and(goes_on, tf.logical_not(all_have_one))
                self._all_fingerprints.assign_add(tf.cast(is_left, tf.int64))
                goes_on = all_have_one
            tf.cond(goes_on, lambda: (step_on(batch.get_value()), 0)[1], lambda: 0)

        def call(iterator: Any, steps: Any) -> Logs:
            if steps_per_call == 1 and not replicas.are_distributed:
                return take_step(iterator)  # A loop over one step would cost a fifth of a small network's step.
            take = take_step_if_any if replicas.are_distributed and self._may_end_early else take_step

            def body(index: Any) -> list[Any]:
                take(iterator)
                return [index + 1]

            tf.while_loop(lambda index: index < steps, body, [tf.constant(0)], parallel_iterations=1)
            if replicas.are_distributed:
                at_end()
            return read_logs()

        self._run_eagerly = model.run_eagerly
        self._call: Any = call if model.run_eagerly else tf.function(call, autograph=False)
        if model.run_eagerly and replicas.are_distributed:
            self._call = lambda iterator, steps: outside_scopes(lambda: call(iterator, steps))

    def prepare(self, element_spec: Any, batches: int | None) -> None:
        """Traces the call where it is not traced yet, without taking a batch.

        Args:
            element_spec: Of what kind the batches are.
            batches: How many there are, None where nobody knows.
        """
        if not self._is_traced:
            self._may_end_early = batches is None
            self._trace(tf.data.IteratorSpec(element_spec))

    def run(
        self,
        data: tf.data.Dataset,
        batches: int | None,
        *,
        where: str,
        on_begin: Callable[[int], None],
        on_end: Callable[[int, Logs], None],
        stop: Callable[[], bool],
        skip: int = 0,
        pause_every: int | None = None,
    ) -> Logs:
        """Goes once through `data` and returns the last logs, which are empty where there was no batch.

        Args:
            data: The batches.
            batches: How many there are, None where nobody knows.
            where: Where we are, for an error's text: "of epoch 3".
            on_begin: Called before each call, with the index of its first batch.
            on_end: Called after each call, with the index of its last batch and the logs.
            stop: Asked after each call whether to stop there.
            skip: Batches that were done before: they are taken and let go, and the logs begin with what was measured.
            pause_every: A call ends at each multiple of so many batches.
        """
        with one_pass(data) as held:
            self.prepare(data.element_spec, batches)
            self._replicas.check_same(
                batches or 0, f"{_SAME_DATA} Received: another number of batches, {batches} here."
            )
            if skip:
                self._skip(held[0], skip)
            self._done.assign(skip)
            self._all_fingerprints.assign(0)
            logs: Logs = self._read_logs() if skip else {}
            done, at_end, is_compared = skip, False, False
            while not at_end and (batches is None or done < batches):
                steps = self._steps_per_call
                if batches is not None:
                    steps = min(steps, batches - done)
                if pause_every is not None:
                    steps = min(steps, pause_every - done % pause_every)
                on_begin(done)
                begin = time.perf_counter()
                try:
                    logs = self._call(held[0], tf.constant(steps))
                    before, done = done, done + steps
                    if self._may_end_early and self._replicas.are_distributed and int(self._done) < done:
                        at_end, done = True, int(self._done)
                        if done == before:
                            logs = logs if done else {}
                            break
                except tf.errors.OutOfRangeError:
                    at_end = True
                    if int(self._done) == done:
                        break
                    done, logs = int(self._done), self._read_logs()
                except tf.errors.InvalidArgumentError as error:
                    if LOSS_IS_NOT_FINITE not in str(error):
                        raise
                    step = int(self._done) + 1
                    raise not_finite(f"at step {step} {where}, which did not touch the trainable weights.") from None
                if self._must_look_at_loss and not np.isfinite(loss_metric(self._model).result()):
                    raise not_finite(f"at or before step {done} {where}.")
                if not is_compared:
                    self._replicas.check_same(self.first_fingerprint, f"{_SAME_DATA} Received: another first batch.")
                    is_compared = True
                on_end(done - 1, logs)
                # Every worker must stop at the same step, and take as many in the next call.
                stops, seconds = self._replicas.totals([float(stop()), time.perf_counter() - begin])
                if stops:
                    held.clear()  # At once: who begins anew need not find this pass alive, and a cache half written.
                    break
                if not at_end:  # It was shorter than asked for.
                    self._adapt(seconds / self._replicas.workers)
            self._replicas.check_same(
                int(self._all_fingerprints), f"{_SAME_DATA} Received: other batches than another worker."
            )
            self._replicas.check_same_weights(self._model)
            return logs

    @property
    def fingerprint(self) -> int:
        """By what the last batch is known again."""
        return int(self._fingerprint)

    @property
    def first_fingerprint(self) -> int:
        """By what the first batch of this pass is known again."""
        return int(self._first_fingerprint)

    @property
    def variables(self) -> list[tf.Variable]:
        """Every variable that a traced call touches, but not what counts here; none before it is traced."""
        if self._run_eagerly or not self._is_traced:
            return []
        own = {
            id(variable)
            for variable in (self._done, self._fingerprint, self._first_fingerprint, self._all_fingerprints)
        }
        # A function names its variables in an order that changes from run to run, but takes them in one that does not.
        places = {id(handle): place for place, handle in enumerate(self._call.captured_inputs)}
        found = [variable for variable in self._call.variables if id(variable) not in own]
        return sorted(found, key=lambda variable: places.get(id(variable.handle), len(places)))

    def _skip(self, iterator: Any, batches: int) -> None:
        # Taken one by one: `Dataset.skip` passes over what a `map` draws at random, and the rest came out otherwise.
        try:
            for index in range(batches):
                batch = next(iterator)
                if index == 0:
                    self._first_fingerprint.assign(fingerprint_of(batch))
        except StopIteration:
            raise ValueError(
                f"`data` must hold the batches of the run that is taken up again, {batches} and more. It ended earlier."
            ) from None
        self._fingerprint.assign(fingerprint_of(batch))

    def _trace(self, iterator: Any) -> None:
        # Once and by hand, or TensorFlow, which counts calls, takes many short trainings for one that traces too often.
        if not self._run_eagerly:
            trace = self._call.get_concrete_function
            self._call = outside_scopes(lambda: trace(iterator, tf.TensorSpec((), tf.int32)))
        self._is_traced = True

    def _adapt(self, seconds: float) -> None:
        if self._adapts:
            if seconds < _SECONDS_PER_CALL:
                self._steps_per_call *= 2
            elif seconds > 4 * _SECONDS_PER_CALL:
                self._steps_per_call = max(1, self._steps_per_call // 2)


def fingerprint_of(batch: Any) -> Any:
    """A number by which a batch is known again: a hash of the first values of each of its parts."""
    parts = [part for part in tf.nest.flatten(batch, expand_composites=True) if part is not None]
    # A few values tell two batches apart, and all of them would cost a small network some of its time.
    heads = [tf.io.serialize_tensor(tf.reshape(part, [-1])[:64]) for part in parts]
    return tf.strings.to_hash_bucket_fast(tf.strings.join(heads), 2**62)
