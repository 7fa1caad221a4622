"""Where training runs: one device, several on one machine, or several machines."""

import os

import tensorflow as tf

from synthmed_tf.config.schema import Config
from synthmed_tf.errors import SynthMedError

_GROUP = 4


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
    """Whether this process writes the run's folder: the chief, worker 0 where none is named, and who is alone."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_id is None:
        return True
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return resolver.task_type in (None, first) and resolver.task_id == 0


def agreed(strategy: tf.distribute.Strategy, metric: float) -> float:
    """A metric that each worker computed for itself, the same to the last bit on all of them: the mean."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return metric

    @tf.function
    def mean() -> tf.Tensor:
        return strategy.run(
            lambda: tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, tf.constant(metric))
        )

    return float(strategy.experimental_local_results(mean())[0])


def turn_on_xla() -> None:
    """Lets TensorFlow compile clusters of operations with XLA, on CPUs too where no TensorFlow runtime has begun."""
    os.environ["TF_XLA_FLAGS"] = f"{os.environ.get('TF_XLA_FLAGS', '')} --tf_xla_cpu_global_jit".strip()
    tf.config.optimizer.set_jit("autoclustering")


def check_combination(strategy: tf.distribute.Strategy, config: Config, stage: str) -> None:
    """Raises SynthMedError where replicas, batch, precision and networks do not go together."""
    replicas, chosen = strategy.num_replicas_in_sync, getattr(config, stage)
    shares = replicas * chosen.accumulate
    if chosen.batch_size % shares:
        parts = f" in {chosen.accumulate} parts each" if chosen.accumulate > 1 else ""
        raise SynthMedError(
            f"Option {stage}.batch_size is {chosen.batch_size}, which {replicas} replicas{parts} cannot share equally; "
            f"choose a multiple of {shares}."
        )
    part = chosen.batch_size // shares
    if stage == "stage1" and chosen.accumulate > 1 and part % _GROUP:
        raise SynthMedError(
            f"Option stage1.accumulate is {chosen.accumulate}, which leaves {part} images a part; "
            f"masks are compared in groups of {_GROUP}, so choose parts of a multiple of {_GROUP}."
        )
    if stage == "stage1" and chosen.diversity_weight and part % 2:
        raise SynthMedError(
            f"Option stage1.batch_size is {chosen.batch_size}, which leaves {part} at a time; the diversity loss "
            f"compares pairs, so choose a multiple of {2 * shares}, or stage1.diversity_weight=0."
        )
    if replicas > 1 and stage in ("stage1", "stage2") and chosen.r1_gamma and _has_batch_statistics(config, stage):
        raise SynthMedError(
            f"Option {stage}.r1_gamma is {chosen.r1_gamma}, which TensorFlow cannot compute over {replicas} replicas "
            "for a discriminator with batch normalization; set it to 0, use instance normalization, or one replica."
        )


def _has_batch_statistics(config: Config, stage: str) -> bool:
    """Whether the stage's discriminator has batch normalization."""
    return config.stage1.architecture == "dcgan" if stage == "stage1" else config.stage2.norm == "batch"
