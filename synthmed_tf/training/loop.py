"""The outer loop of a stage: resume, train, log, draw, save; the inner step knows nothing of it."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from synthmed_tf import augment, images, layers, snapshot
from synthmed_tf.config import Config
from synthmed_tf.data import pipeline
from synthmed_tf.data.dataset import Dataset
from synthmed_tf.errors import SynthMedError
from synthmed_tf.training import actions
from synthmed_tf.training.progress import MetricsLog, StepProgress
from synthmed_tf.training.stages import Stage
from synthmed_tf.training.step import AdversarialStep


class Interrupted(Exception):
    """The run was asked to stop, and has saved.

    Attributes:
        signal_number: SIGINT or SIGTERM.
    """

    def __init__(self, signal_number: int, message: str):
        super().__init__(message)
        self.signal_number = signal_number


class StageLoop:
    """Trains one stage in its folder of a run."""

    def __init__(
        self,
        stage: Stage,
        config: Config,
        dataset: Dataset,
        strategy: tf.distribute.Strategy,
        folder: Path,
        restore_from: Path,
        say: Callable[[str], None],
    ):
        """Keeps the parts; `run` does the work. Constructed in the strategy's scope.

        Args:
            stage: with its networks made.
            config: of the run.
            dataset: what it is trained on.
            strategy: where.
            folder: what this process writes into: the stage's folder in the run or, for a worker that is not the
                chief, a folder of its own that is thrown away.
            restore_from: the stage's folder in the run.
            say: takes lines for the user.
        """
        self.stage, self.config, self.dataset, self.strategy = stage, config, dataset, strategy
        self.folder, self.restore_from, self.say = folder, restore_from, say
        self.step = AdversarialStep(stage, strategy)
        owners = {
            "generator": stage.generator,
            "generator_ema": stage.generator_ema,
            "discriminator": stage.discriminator,
            "generator_optimizer": self.step.generator_optimizer,
            "discriminator_optimizer": self.step.discriminator_optimizer,
        }
        if getattr(stage, "encoder", None) is not None:
            owners["encoder"] = stage.encoder
        parts = {name: layers.plain_variables(owner) for name, owner in owners.items()}
        self.checkpoint = tf.train.Checkpoint(global_step=self.step.global_step, **parts)
        self.manager = tf.train.CheckpointManager(self.checkpoint, str(folder / "checkpoints"), max_to_keep=2)
        self.total = stage.config.total_steps(len(dataset.pairs))

    def run(self) -> None:
        """Trains to the end, from the newest checkpoint on.

        Raises:
            Interrupted: SIGINT or SIGTERM came; everything is saved.
            SynthMedError: a loss is no longer finite.
        """
        done = self._restore()
        if done >= self.total:
            if not self._has_snapshot_of(done):  # killed between checkpoint and snapshot
                self._save_snapshot(done)
            self.say(f"{self.stage.name}: {done} of {self.total} steps are done")
            return
        log = MetricsLog(self.folder, done)
        progress = StepProgress(self.stage.name, self.total, done, self.say)
        with _SignalFlag() as flag:
            try:
                self._train(done, log, progress, flag)
            finally:
                progress.close()
                log.flush()

    def _train(self, done: int, log: MetricsLog, progress: StepProgress, flag: "_SignalFlag") -> None:
        batches = iter(self._distributed_batches(done))
        if done == 0:
            self._draw(0, log)
        while done < self.total:
            steps = min(self._until_next(done), self.config.steps_per_loop)
            started = time.monotonic()
            terms = self.step.run(batches, tf.constant(steps, tf.int32))
            figures = {name: float(value) for name, value in terms.items()}
            done += steps
            speed = steps * self.stage.config.batch_size / (time.monotonic() - started)
            self._check_finite(done, figures)
            optimizer = self.stage.config.optimizer
            rates = {"rate/generator": optimizer.generator_rate, "rate/discriminator": optimizer.discriminator_rate}
            log.scalars(done, figures | rates | {"images_per_second": speed})
            progress.update(done, speed)
            if done % self.config.save_every == 0 or done == self.total or flag.signal_number:
                self._save(done)
            if done % self.config.picture_every == 0 or done == self.total:
                self._draw(done, log)
            if flag.signal_number:
                message = f"stopped at step {done} of {self.total} and saved in {self.folder}; the same command goes on"
                raise Interrupted(flag.signal_number, message)

    def _until_next(self, done: int) -> int:
        """Steps until the next picture, save, or the end, so that they fall on the same steps in every run."""
        stops = [every - done % every for every in (self.config.picture_every, self.config.save_every)]
        return min(*stops, self.total - done)

    def _restore(self) -> int:
        newest = tf.train.latest_checkpoint(str(self.restore_from / "checkpoints"))
        if newest is None:
            return 0
        try:
            self.checkpoint.restore(newest).assert_consumed()
        except (AssertionError, ValueError) as error:
            raise SynthMedError(
                f"The checkpoint {newest} is of other networks than the configuration's; choose another --run."
            ) from error
        return int(self.step.global_step.numpy())

    def _save(self, done: int) -> None:
        networks = {"generator": self.stage.generator, "discriminator": self.stage.discriminator}
        sums = {f"{name}/weights": sum(np.sum(w) for w in network.get_weights()) for name, network in networks.items()}
        self._check_finite(done, sums)
        self.manager.save(checkpoint_number=done)
        self._save_snapshot(done)

    def _save_snapshot(self, done: int) -> None:
        snapshot.save(actions.make_snapshot(self.stage, self.config, done, self.dataset), self.folder / "snapshot")

    def _has_snapshot_of(self, done: int) -> bool:
        try:
            return snapshot.load(self.restore_from / "snapshot").step == done
        except SynthMedError:
            return False

    def _draw(self, done: int, log: MetricsLog) -> None:
        pixels = actions.sample_grid(self.stage, self.config, self.dataset)
        log.picture(done, f"{self.stage.name}/samples", images.encode_png(pixels), pixels)

    def _distributed_batches(self, done: int) -> tf.distribute.DistributedDataset:
        stage, config = self.stage.config, self.config
        ranges = augment.Ranges(**config.data.augment.model_dump())

        def per_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return pipeline.batches(
                self.dataset.pairs,
                stage.batch_size,
                config.seed,
                ranges,
                start=done * stage.batch_size,
                replicas=context.num_replicas_in_sync,
                worker=context.input_pipeline_id,
                workers=context.num_input_pipelines,
                colour=getattr(stage, "colour", 0.0),
            )

        return self.strategy.distribute_datasets_from_function(per_worker)

    def _check_finite(self, done: int, figures: dict[str, float]) -> None:
        broken = [name for name, value in figures.items() if not np.isfinite(value)]
        if broken:
            raise SynthMedError(
                f"{self.stage.name} went wrong before step {done}: {', '.join(broken)} is not finite; the last good "
                f"checkpoint is in {self.folder / 'checkpoints'}; lower the learning rates or the weight of that loss."
            )


class _SignalFlag:
    """Remembers SIGINT or SIGTERM while it is entered; a second SIGINT ends the process at once."""

    signal_number: int | None = None

    def __enter__(self) -> "_SignalFlag":
        self._previous = {number: signal.signal(number, self._remember) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, _frame) -> None:
        self.signal_number = number
        signal.signal(signal.SIGINT, signal.SIG_DFL)
