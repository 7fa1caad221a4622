"""The compiled loop of several steps under a strategy, and what every kind of step needs: updates and averages."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import keras
import tensorflow as tf

from synthmed_tf.models import layers
from synthmed_tf.training.loss_scale import LossScale
from synthmed_tf.training.stages import Batch, Stage, Terms

T = TypeVar("T")


class TrainingStep:
    """Takes steps in a compiled loop. What one step does on a replica is the subclass's `replica_step`.

    Constructed in the strategy's scope.

    Attributes:
        global_step: scalar int64 variable, steps taken.
        names: of the terms, in the order of the metrics that `run` gives; known after its first call.
    """

    def __init__(self, stage: Stage, strategy: tf.distribute.Strategy, precision: layers.Precision = "float32"):
        self.stage, self.strategy, self.precision = stage, strategy, precision
        self.names: list[str] = []
        self.global_step = tf.Variable(
            0, dtype=tf.int64, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )

    def replica_step(self, batch: Batch, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step on a replica's part of the batch; returns its share of each term's mean."""
        raise NotImplementedError

    def state(self) -> dict[str, list[tf.Variable]]:
        """All that a resumed run needs, by name, but for the global step."""
        raise NotImplementedError

    def metrics(self) -> dict[str, float]:
        """Learning rates and loss scales as they are now, by their names in TensorBoard."""
        raise NotImplementedError

    @tf.function
    def run(self, batches, steps: tf.Tensor) -> tf.Tensor:
        """Takes several steps; called in the cross-replica context. Stops after one with a term that is not finite.

        Args:
            batches: an iterator over distributed batches.
            steps: scalar int32 tensor (a Python number would compile again for each value).

        Returns:
            The terms of each step taken, over the whole batch: `(steps taken, terms)` float32, in the order of `names`.
        """
        history = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
        taken, finite = 0, True
        while finite and taken < steps:
            terms = self._one_step(next(batches))
            history = history.write(taken, terms)
            finite = tf.reduce_all(tf.math.is_finite(terms))
            taken += 1
        return history.stack()

    def _one_step(self, batch) -> tf.Tensor:
        """All terms of one step, summed over the replicas' shares, as a vector in the order of `names`."""
        # Its conditions are those of Python or `tf.cond`: without AutoGraph it is traced in less time.
        plain = tf.autograph.experimental.do_not_convert(self.replica_step)
        terms = self.strategy.run(plain, args=(batch, self.global_step.read_value()))
        self.global_step.assign_add(1)
        self.names = sorted(terms)
        return tf.stack([self.strategy.reduce("SUM", terms[name], axis=None) for name in self.names])

    def share_of_mean(self, network: str, terms: Terms) -> dict[str, tf.Tensor]:
        """The one place where terms are averaged over the batch and divided by replicas and parts.

        Keras' optimizers sum gradients over replicas, so their sum is the gradient of the global mean.
        """
        shares = self.strategy.num_replicas_in_sync * self.stage.config.accumulate
        means = {f"{network}/{name}": tf.reduce_mean(term) / shares for name, term in terms.items()}
        return means | {f"{network}/loss": tf.add_n(list(means.values()))}

    def over_parts(self, batch: Batch, compute: Callable[[Batch], T]) -> T:
        """Sums what is computed on each of the batch's parts, one after the other, so that one at a time takes memory.

        Args:
            batch: of a replica.
            compute: a part to a structure of tensors, such as gradients and terms.
        """
        total = None
        for part in _parts(batch, self.stage.config.accumulate):
            with tf.control_dependencies([] if total is None else tf.nest.flatten(total)):
                found = compute(part)
            total = found if total is None else tf.nest.map_structure(tf.add, total, found)
        return total


class Update:
    """An optimizer for some variables; in float16 with a loss scale.

    Attributes:
        optimizer: built, so that a checkpoint restores it at once.
        variables: what it trains.
    """

    def __init__(
        self, optimizer: keras.optimizers.Optimizer, variables: Sequence, precision: layers.Precision = "float32"
    ):
        self.optimizer, self.variables = optimizer, list(variables)
        self.optimizer.build(self.variables)
        self.scale = LossScale() if precision == "mixed_float16" else None

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """What gradients are to be taken of instead of the loss."""
        return loss if self.scale is None else self.scale.scaled(loss)

    def apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """Updates the variables; called in a replica's context with gradients of the scaled loss."""
        if self.scale is None:
            self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        else:
            self.scale.apply(self.optimizer, gradients, self.variables)

    def metrics(self, network: str) -> dict[str, float]:
        """The learning rate and, in float16, the loss scale."""
        found = {f"rate/{network}": self.optimizer.learning_rate}
        if self.scale is not None:
            found[f"loss_scale/{network}"] = self.scale.variables[0]
        # The value of a variable of several replicas is that of the first.
        return {name: float(tf.convert_to_tensor(variable)) for name, variable in found.items()}

    def state(self) -> list[tf.Variable]:
        """The optimizer's variables and the loss scale's."""
        return layers.plain_variables(self.optimizer) + ([] if self.scale is None else self.scale.variables)


def _parts(batch: Batch, count: int) -> list[Batch]:
    if count == 1:
        return [batch]
    pieces = {name: tf.split(tensor, count) for name, tensor in batch.items()}
    return [{name: piece[i] for name, piece in pieces.items()} for i in range(count)]
