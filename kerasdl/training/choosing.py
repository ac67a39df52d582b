"""Where a model is trained: on one device, on several, or together with other machines, as the surroundings say."""

import functools

import tensorflow as tf

from kerasdl.training.cluster import find_cluster


def strategy() -> tf.distribute.Strategy:
    """The strategy for the surroundings: one program for a laptop, a machine with several GPUs, and many machines.

    - Workers that know of each other (`TF_CONFIG`, as `kerasdl.training.launch` and Kubernetes' TFJob set it, or the
      tasks of SLURM's `srun`): TensorFlow's `MultiWorkerMirroredStrategy`, on all GPUs of each.
    - Several GPUs in one machine: `MirroredStrategy`.
    - Otherwise TensorFlow's default, which changes nothing.

    Call it before TensorFlow computes anything; build and compile the model in its scope; train it with
    `kerasdl.training.fit`. The batches of the data are those of all workers together: each takes its part of them.

    Returns:
        The strategy, the same one however often one asks.

    Example:
        >>> with strategy().scope():
        ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     model.compile("sgd", "mse")
        >>> strategy().num_replicas_in_sync
        1
    """
    chosen = _choose()
    # The default one belongs to its place and time: inside of another strategy's scope it is that one.
    return tf.distribute.get_strategy() if chosen is None else chosen


@functools.cache
def _choose() -> tf.distribute.Strategy | None:
    cluster = find_cluster()
    if cluster is not None:
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(cluster.jobs),
            task_type=cluster.kind,
            task_id=cluster.index,
            rpc_layer="grpc",
            num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        )
        try:
            return tf.distribute.MultiWorkerMirroredStrategy(resolver)
        except RuntimeError as error:
            if "program startup" not in str(error):
                raise
            raise RuntimeError(
                "`training.strategy()` must come first in a program that several workers run: before TensorFlow makes "
                "a tensor, so before data are loaded and models built. It came after that."
            ) from None
    return tf.distribute.MirroredStrategy() if len(tf.config.list_logical_devices("GPU")) > 1 else None
