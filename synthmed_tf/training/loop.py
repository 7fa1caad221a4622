"""The outer loop of a stage: resume, train, log, validate, generate, save; the inner step knows nothing of it."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from synthmed_tf import images
from synthmed_tf.config.schema import Config
from synthmed_tf.data import augmentation, pipeline
from synthmed_tf.data.dataset import Dataset
from synthmed_tf.errors import SynthMedError
from synthmed_tf.training import snapshot, snapshots
from synthmed_tf.training.alarms import ALARMS, DISCRIMINATOR
from synthmed_tf.training.checkpoints import Checkpoints
from synthmed_tf.training.interrupt import Interrupted, SignalFlag
from synthmed_tf.training.progress import MetricsLog, StepProgress
from synthmed_tf.training.step import TrainingStep
from synthmed_tf.training.strategy import agreed
from synthmed_tf.training.training_errors import explained
from synthmed_tf.training.validation import VALIDATION, Validator

_WINDOW = 200
_DISCRIMINATOR_TERM = "discriminator/adversarial"


class StageLoop:
    """Trains one stage in its folder of a run."""

    def __init__(
        self,
        step: TrainingStep,
        config: Config,
        dataset: Dataset,
        folder: Path,
        restore_from: Path,
        say: Callable[[str], None],
    ):
        """Keeps the parts; `run` does the work. Constructed in the strategy's scope.

        Args:
            step: of the stage, with its networks and optimizers made.
            config: of the run.
            dataset: what it is trained on.
            folder: what this process writes into: the stage's folder in the run or, for a worker that is not the
                chief, a folder of its own that is thrown away.
            restore_from: the stage's folder in the run.
            say: takes lines for the user.
        """
        self.step, self.stage, self.strategy = step, step.stage, step.strategy
        self.config, self.dataset = config, dataset
        self.folder, self.restore_from, self.say = folder, restore_from, say
        variables = {"global_step": step.global_step} | step.state()
        self.checkpoints = Checkpoints(variables, folder, restore_from, say)
        self.validator = Validator(self.stage, config, dataset)
        self.total = self.stage.config.total_steps(len(dataset.pairs))

    def run(self) -> None:
        """Trains to the end, from the newest checkpoint on.

        Raises:
            Interrupted: SIGINT or SIGTERM came; everything is saved.
            SynthMedError: a term is no longer finite, no checkpoint can be read, the disk is full, or another worker
                is gone.
        """
        several = isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy)
        with explained(self.restore_from, several):
            done = self.checkpoints.restore()
            self.checkpoints.clear_remains(done)
            log = MetricsLog(self.folder, done, self.restore_from)
            # Killed between checkpoint and snapshot; several workers may not see the same, but must do the same.
            if done and (several or not self._has_snapshot_of(done)):
                self._save_snapshot(done)
            if done >= self.total:
                self.say(f"{self.stage.name}: {done} of {self.total} steps are done")
            elif not self._ended_by_itself(log, done):
                self._train(done, log)

    def _train(self, done: int, log: MetricsLog) -> None:
        progress = StepProgress(self.stage.name, self.total, done, self.say)
        batches = iter(self._distributed_batches(done))
        with SignalFlag(self.strategy) as flag:
            try:
                if done == 0:
                    self._generate(0, log)
                while done < self.total and not self._ended_by_itself(log, done):
                    done = self._advance(done, batches, log, progress)
                    signal_number = flag.read()
                    if self._due(done, self.config.save_every) or signal_number or self._ended_by_itself(log, done):
                        self._save(done)
                    if signal_number:
                        where = f"step {done} of {self.total} and saved in {self.folder}"
                        raise Interrupted(signal_number, f"stopped at {where}; the same command goes on")
            finally:
                progress.close()
                log.flush()

    def _advance(self, done: int, batches, log: MetricsLog, progress: StepProgress) -> int:
        """Some steps in one call, their metrics, and what is due after them; returns how many steps are done."""
        steps = min(self._until_next(done), self.config.steps_per_loop)
        started = time.monotonic()
        history = self.step.run(batches, tf.constant(steps, tf.int32)).numpy()
        speed = len(history) * self.stage.config.batch_size / (time.monotonic() - started)
        self._check_finite(done, history)
        done += steps
        metrics = dict(zip(self.step.names, map(float, history.mean(axis=0)), strict=True))
        metrics |= self.step.metrics() | {"images_per_second": speed}
        if self._due(done, self.config.validate_every):
            metrics |= {name: agreed(self.strategy, value) for name, value in self.validator.metrics().items()}
        recent = log.values(_DISCRIMINATOR_TERM, after=done - _WINDOW)
        if _DISCRIMINATOR_TERM in metrics and done >= _WINDOW:
            metrics[DISCRIMINATOR] = float(np.mean([*recent, metrics[_DISCRIMINATOR_TERM]]))
        if VALIDATION in metrics and metrics[VALIDATION] < min(log.values(VALIDATION), default=math.inf):
            self._save_best(done, metrics[VALIDATION])
        log.scalars(done, metrics)
        self._warn(done, metrics, log)
        progress.update(done, speed)
        if self._due(done, self.config.image_every):
            self._generate(done, log)
        return done

    def _due(self, done: int, every: int) -> bool:
        return done % every == 0 or done == self.total

    def _until_next(self, done: int) -> int:
        """Steps until something is due, or the end, so that it falls on the same steps in every run."""
        config = self.config
        stops = [every - done % every for every in (config.image_every, config.save_every, config.validate_every)]
        return min(*stops, self.total - done)

    def _ended_by_itself(self, log: MetricsLog, done: int) -> bool:
        """Whether the last `patience` validations were none better than one before them."""
        measures, patience = log.values(VALIDATION), self.stage.config.patience
        since = len(measures) - 1 - int(np.argmin(measures)) if measures else 0
        if not patience or since < patience:
            return False
        if log.once("ended"):
            self.say(
                f"{self.stage.name}: ended by itself at step {done}: the last {since} validations were no better than "
                f"{min(measures):.4f}"
            )
        return True

    def _warn(self, done: int, metrics: dict[str, float], log: MetricsLog) -> None:
        for alarm in ALARMS:
            value = metrics.get(alarm.metric)
            if value is not None and alarm.rings(value) and log.once(alarm.metric):
                side = "above" if alarm.above else "below"
                message = f"{alarm.metric} is {value:.3f}, {side} {alarm.threshold}: {alarm.meaning}"
                log.warning(done, alarm.metric, value, alarm.threshold, message)
                self.say(f"warning: {self.stage.name}, step {done}: {message}")

    def _save(self, done: int) -> None:
        for name, variables in self.step.state().items():
            if not all(np.isfinite(np.sum(variable.numpy())) for variable in variables):
                raise self._went_wrong(done, f"a weight of {name}")
        self.checkpoints.save(done)
        self._save_snapshot(done)

    def _save_snapshot(self, done: int) -> None:
        snapshot.save(snapshots.make_snapshot(self.stage, self.config, done, self.dataset), self.folder / "snapshot")

    def _save_best(self, done: int, measure: float) -> None:
        made = snapshots.make_snapshot(self.stage, self.config, done, self.dataset)
        snapshot.save(replace(made, measure=measure), self.folder / "best")

    def _has_snapshot_of(self, done: int) -> bool:
        try:
            return snapshot.load(self.restore_from / "snapshot").step == done
        except SynthMedError:
            return False

    def _generate(self, done: int, log: MetricsLog) -> None:
        pixels = snapshots.sample_grid(self.stage, self.config, self.dataset)
        log.image(done, f"{self.stage.name}/samples", images.encode_png(pixels), pixels)

    def _distributed_batches(self, done: int) -> tf.distribute.DistributedDataset:
        stage, config = self.stage.config, self.config
        ranges = augmentation.ranges_of(config.data, getattr(self.stage, "input_augment", None))

        def per_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            place = {
                "start": done * stage.batch_size,
                "replicas": context.num_replicas_in_sync,
                "worker": context.input_pipeline_id,
                "workers": context.num_input_pipelines,
            }
            if hasattr(self.stage, "batches"):
                return self.stage.batches(**place)
            colour = getattr(stage, "colour", 0.0)
            return pipeline.batches(self.dataset.pairs, stage.batch_size, config.seed, ranges, colour=colour, **place)

        return self.strategy.distribute_datasets_from_function(per_worker)

    def _check_finite(self, done: int, history: np.ndarray) -> None:
        broken = [name for name, value in zip(self.step.names, history[-1], strict=True) if not np.isfinite(value)]
        if broken:
            terms = [name for name in broken if not name.endswith("/loss")] or broken
            raise self._went_wrong(done + len(history), ", ".join(terms))

    def _went_wrong(self, at: int, what: str) -> SynthMedError:
        return SynthMedError(
            f"{self.stage.name} went wrong at step {at}: {what} is not finite; the last good checkpoint is in "
            f"{self.folder / 'checkpoints'}; lower the learning rates or the weight of that loss."
        )
