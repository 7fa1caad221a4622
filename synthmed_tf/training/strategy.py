"""Where training runs: one device, several on one machine, or several machines."""

import os

import tensorflow as tf

from synthmed_tf.errors import SynthMedError


def make_strategy(name: str, devices: tuple[str, ...] = ()) -> tf.distribute.Strategy:
    """Makes the strategy that a configuration names.

    Args:
        name: `auto` (every GPU that is there, else the CPU), `one` (the first GPU, else the CPU), `mirrored` (every
            GPU, else every logical CPU) or `multi_worker` (from TF_CONFIG).
        devices: for `mirrored`, such as ("GPU:0", "GPU:1"); all where empty.

    Raises:
        SynthMedError: `multi_worker` without TF_CONFIG.
    """
    if name == "multi_worker":  # before anything that starts TensorFlow's runtime, as listing devices does
        if not os.environ.get("TF_CONFIG"):
            raise SynthMedError("Strategy multi_worker needs the environment variable TF_CONFIG; it is not set.")
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = [f"GPU:{i}" for i in range(len(tf.config.list_logical_devices("GPU")))]
    if name == "mirrored":
        cpus = [f"CPU:{i}" for i in range(len(tf.config.list_logical_devices("CPU")))]
        return tf.distribute.MirroredStrategy(list(devices) or gpus or cpus)
    if name == "auto" and len(gpus) > 1:
        return tf.distribute.MirroredStrategy(gpus)
    return tf.distribute.OneDeviceStrategy(gpus[0] if gpus else "CPU:0")


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run's folder: worker 0 of several, and any process that is alone."""
    return strategy.cluster_resolver is None or strategy.cluster_resolver.task_id in (None, 0)


def check_batch(strategy: tf.distribute.Strategy, stage: str, batch_size: int) -> None:
    """Raises SynthMedError where the replicas cannot share a batch equally."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise SynthMedError(
            f"Option {stage}.batch_size is {batch_size}, which {replicas} replicas cannot share equally; "
            f"choose a multiple of {replicas}."
        )
