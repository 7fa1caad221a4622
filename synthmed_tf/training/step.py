"""The adversarial step, and the compiled loop of several steps under a strategy."""

import tensorflow as tf

from synthmed_tf import ema
from synthmed_tf.training.stages import Stage, Terms, make_optimizer


class AdversarialStep:
    """Updates a stage's discriminator once and its generator once or more, then the averaged generator.

    The discriminator and the first update of the generator share one drawing. Constructed in the strategy's scope.

    Attributes:
        global_step: scalar int64 variable, steps taken.
        generator_optimizer, discriminator_optimizer: built, so that a checkpoint restores them at once.
    """

    def __init__(self, stage: Stage, strategy: tf.distribute.Strategy):
        self.stage, self.strategy = stage, strategy
        self._names: list[str] = []
        optimizer = stage.config.optimizer
        self.generator_optimizer = make_optimizer(optimizer, optimizer.generator_rate)
        self.generator_optimizer.build(stage.trained_with_generator)
        self.discriminator_optimizer = make_optimizer(optimizer, optimizer.discriminator_rate)
        self.discriminator_optimizer.build(stage.discriminator.trainable_variables)
        self.global_step = tf.Variable(
            0, dtype=tf.int64, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )

    @tf.function
    def run(self, batches, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes several steps; called in the cross-replica context.

        Args:
            batches: an iterator over distributed batches.
            steps: scalar int32 tensor (a Python number would compile anew for each value).

        Returns:
            The mean of each term over steps and replicas, scalar float32 each. A network's total is its `loss`.
        """
        history = tf.TensorArray(tf.float32, size=steps)
        for i in tf.range(steps):
            history = history.write(i, self._one_step(next(batches)))
        means = tf.reduce_mean(history.stack(), axis=0)
        return dict(zip(self._names, tf.unstack(means, num=len(self._names)), strict=True))

    def _one_step(self, batch) -> tf.Tensor:
        """All terms of one step, summed over the replicas' shares, as a vector in the order of `_names`."""
        terms = self.strategy.run(self.replica_step, args=(batch, self.global_step.read_value()))
        self.global_step.assign_add(1)
        self._names = sorted(terms)
        return tf.stack([self.strategy.reduce("SUM", terms[name], axis=None) for name in self._names])

    def replica_step(self, batch: dict[str, tf.Tensor], step: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step on a replica's part of the batch; returns its share of each term's mean."""
        stage = self.stage
        metrics: dict[str, tf.Tensor] = {}
        for update in range(stage.config.generator_updates):
            with tf.GradientTape() as drawing:
                drawn = stage.draw(batch, update)
            if update == 0:
                metrics |= self._update_discriminator(batch, drawn, step)
            metrics |= self._update_generator(batch, drawn, drawing)
        global_batch = stage.config.batch_size
        decay = ema.decay((step + 1) * global_batch, global_batch, stage.config.ema_half_life)
        ema.update(stage.generator_ema, stage.generator, decay)
        return metrics

    def _update_discriminator(self, batch, drawn, step) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            terms = self.stage.discriminator_terms(batch, drawn)
            if self.stage.config.r1_gamma:
                terms["r1"] = self._lazy_r1(batch, step)
            metrics = self._share_of_mean("discriminator", terms)
        variables = self.stage.discriminator.trainable_variables
        gradients = tape.gradient(metrics["discriminator/loss"], variables)
        self.discriminator_optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return metrics

    def _update_generator(self, batch, drawn, drawing: tf.GradientTape) -> dict[str, tf.Tensor]:
        """The gradient comes in two parts, loss to drawing and drawing to weights, so that the drawing is made once."""
        names = list(drawn)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([drawn[name] for name in names])
            metrics = self._share_of_mean("generator", self.stage.generator_terms(batch, drawn))
        at_drawn = tape.gradient(
            metrics["generator/loss"], [drawn[name] for name in names], unconnected_gradients="zero"
        )
        variables = self.stage.trained_with_generator
        gradients = drawing.gradient([drawn[name] for name in names], variables, output_gradients=at_drawn)
        self.generator_optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return metrics

    def _lazy_r1(self, batch, step) -> tf.Tensor:
        """The R1 penalty every `r1_interval` steps, weighing as many times more (Karras et al. 2020, section 3.1)."""
        config = self.stage.config
        due = step % config.r1_interval == 0
        weight = config.r1_gamma * config.r1_interval
        nothing = tf.zeros_like(batch["index"], tf.float32)
        return tf.cond(due, lambda: weight * self.stage.r1_term(batch), lambda: nothing)

    def _share_of_mean(self, network: str, terms: Terms) -> dict[str, tf.Tensor]:
        """The one place where terms are averaged over the batch and divided by the replicas.

        Keras' optimizers sum gradients over replicas, so their sum is the gradient of the global mean.
        """
        replicas = self.strategy.num_replicas_in_sync
        means = {f"{network}/{name}": tf.reduce_mean(term) / replicas for name, term in terms.items()}
        return means | {f"{network}/loss": tf.add_n(list(means.values()))}
