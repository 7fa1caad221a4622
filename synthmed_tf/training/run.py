"""A whole run: its folder, its plan, and the stages one after the other."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from synthmed_tf import files
from synthmed_tf.config.schema import Config, config_from_json
from synthmed_tf.data.dataset import Dataset, load_dataset
from synthmed_tf.data.pipeline import COVERAGE
from synthmed_tf.errors import SynthMedError
from synthmed_tf.models import factory
from synthmed_tf.training import snapshot
from synthmed_tf.training.adversarial import AdversarialStep
from synthmed_tf.training.allocator import keep_freed_memory
from synthmed_tf.training.checkpoints import saved_steps
from synthmed_tf.training.loop import StageLoop
from synthmed_tf.training.refiner_stage import RefinerStage
from synthmed_tf.training.renderer_stages import CoarseRendererStage, FineRendererStage
from synthmed_tf.training.ridge_stage import RidgeStage
from synthmed_tf.training.segmenter_stage import SegmenterStage
from synthmed_tf.training.stages import AdversarialStage, ImageStage, MaskStage
from synthmed_tf.training.step import TrainingStep
from synthmed_tf.training.strategy import check_combination, is_chief, make_strategy, turn_on_xla
from synthmed_tf.training.supervised import SupervisedStep
from synthmed_tf.training.transfer import Start

STAGES = ("stage1", "stage2", "segmenter", "stage1_fine", "stage2_fine")
GANS = STAGES[:2]
LINEAGE = "lineage.json"
"""What the run was begun with, in its folder."""

# What may differ when a run goes on: how long it trains and how it is watched, not what it computes.
_MAY_CHANGE = {"strategy", "steps_per_loop", "save_every", "image_every", "validate_every", "data.cache_limit_mb"}
_MAY_CHANGE |= {f"{stage}.{name}" for stage in STAGES for name in ("steps", "epochs", "patience")}


def train(
    config: Config,
    data: str,
    run: Path,
    stages: tuple[str, ...],
    say: Callable[[str], None],
    override_config: bool = False,
    begin: Callable[[], Start] | None = None,
) -> None:
    """Trains the stages in the folder `run`; the same call goes on where it was.

    Args:
        config: the configuration.
        data: a folder of pairs, or `phantom`.
        run: the run's folder, made where it is missing.
        stages: of `STAGES`, in this order; `stage1` is both of its networks where it has two.
        say: takes lines for the user.
        override_config: whether a run that was begun with another configuration goes on with this one; what changed
            is kept in `overrides.jsonl`.
        begin: opens the weights that it begins with; called when the strategy is made.

    Raises:
        SynthMedError: bad data, a run folder of another configuration or other data, or a loss that is not finite.
        training.loop.Interrupted: the run was stopped and has saved.
    """
    run = Path(run)
    keep_freed_memory()
    if config.xla:
        turn_on_xla()
    strategy = make_strategy(config.strategy)
    stages = parts(config, stages)
    for stage in stages:
        check_combination(strategy, config, stage)
    with contextlib.ExitStack() as stack:
        if is_chief(strategy):
            stack.enter_context(_alone_in(run))
        start = None if begin is None else begin()
        _check_same_start(run, start)
        dataset = _prepare(config, data, run, strategy, say, override_config, start)
        written = run if is_chief(strategy) else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(strategy.scope())
        for name in stages:
            keras.utils.set_random_seed(config.seed + STAGES.index(name))
            step = make_step(name, config, dataset, strategy, run)
            if start is not None and not saved_steps(run / name / "checkpoints"):
                for remark in start.give(step.stage, config):
                    say(remark)
            StageLoop(step, config, dataset, written / name, run / name, say).run()


def parts(config: Config, stages: tuple[str, ...]) -> tuple[str, ...]:
    """The stages in the order of their training, each with its fine network after its coarse one if it has one."""
    two = {"stage1"} if config.stage1.architecture == "coarse_to_fine" else set()
    two |= {"stage2"} if config.has_fine_renderer else set()
    return tuple(part for stage in stages for part in ((stage, f"{stage}_fine") if stage in two else (stage,)))


def make_step(
    name: str, config: Config, dataset: Dataset, strategy: tf.distribute.Strategy, run: Path | None = None
) -> TrainingStep:
    """A stage with its networks, optimizers and compiled step; called in the strategy's scope.

    Args:
        name: of `STAGES`.
        config: the run's configuration.
        dataset: what it is trained on.
        strategy: where it is trained.
        run: the run's folder, from which fine networks read the coarse ones.
    """
    if name == "segmenter":
        return SupervisedStep(SegmenterStage(config), strategy, config.precision)
    if name == "stage1_fine":
        stage = RefinerStage(config, dataset.pairs, _coarse(factory.mask_generator, config, run, "stage1"))
        return SupervisedStep(stage, strategy, config.precision)
    if name == "stage2_fine":
        stage = FineRendererStage(config, dataset.pairs, _coarse(factory.image_generator, config, run, "stage2"))
        return SupervisedStep(stage, strategy, config.precision)
    if name == "stage2" and config.stage2.architecture == "pyramid":
        return SupervisedStep(CoarseRendererStage(config, dataset.pairs), strategy, config.precision)
    return AdversarialStep(_adversarial_stage(name, config, dataset), strategy, config.precision)


def _adversarial_stage(name: str, config: Config, dataset: Dataset) -> AdversarialStage:
    if name == "stage2":
        return ImageStage(config)
    if config.stage1.architecture == "coarse_to_fine":
        return RidgeStage(config, dataset.fov / 255.0, dataset.pairs[..., COVERAGE])
    return MaskStage(config, dataset.fov / 255.0)


def _coarse(make: Callable[[Config], keras.Model], config: Config, run: Path | None, stage: str) -> keras.Model | None:
    """The coarse network that `run` has of a stage, the one that an export takes; None without a run."""
    if run is None:
        return None
    folder = snapshot.chosen(run / stage)
    generator = make(config)
    snapshot.restore(generator, snapshot.load(folder), folder)
    return generator


def _prepare(
    config: Config,
    data: str,
    run: Path,
    strategy: tf.distribute.Strategy,
    say: Callable[[str], None],
    override_config: bool,
    start: Start | None,
) -> Dataset:
    """Reads the data, and refuses what does not belong to this run."""
    changes = _changed_options(run, config)
    if changes and not override_config:
        name, (old, new) = next(iter(changes.items()))
        more = f" (and {len(changes) - 1} more options differ)" if len(changes) > 1 else ""
        raise SynthMedError(
            f"{run} was begun with {name} = {old}, and now it is {new}{more}; "
            "go on with the same value, choose another --run, or say --override-config."
        )
    chief = is_chief(strategy)
    dataset = load_dataset(data, config, cache=run if chief else None)
    _check_same_data(run, dataset)
    say(f"{describe_data(dataset.facts)}\ndevices: {', '.join(strategy.extended.worker_devices)}")
    if chief:
        if changes:
            _keep_overrides(run, changes)
        _keep_lineage(run, start)  # before the configuration, which says that the run was begun
        files.write_text(run / "config.json", config.model_dump_json(indent=2) + "\n")
        files.write_text(run / "data.json", json.dumps(dataset.facts, indent=2) + "\n")
    return dataset


@contextlib.contextmanager
def _alone_in(run: Path) -> Iterator[None]:
    """Makes the run's folder and holds its lock; a folder that nothing was written into is taken away again."""
    made = [folder for folder in (run, *run.parents) if not folder.exists()]
    _make_folder(run)
    try:
        with contextlib.ExitStack() as held:
            _hold(held, run / "lock")
            yield
    finally:
        with contextlib.suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def _hold(held: contextlib.ExitStack, lock: Path) -> None:
    try:
        held.enter_context(files.exclusive(lock))
    except BlockingIOError as error:
        raise SynthMedError(
            f"{lock.parent} is being trained by another process ({error.strerror}); wait for it, stop it, or choose "
            "another --run."
        ) from None
    except OSError as error:
        with files.failing_clearly(lock, again="", option="--run"):
            raise error


def describe_data(facts: dict[str, Any]) -> str:
    """One line about a training set."""
    held = facts.get("validation_patients")
    return (
        f"data: {facts['source']} (layout {facts['layout']}), {facts['pairs']} pairs of {facts['patients']} patients "
        f"at {facts['size']}x{facts['size']}" + (f"; held out to choose the step by: {', '.join(held)}" if held else "")
    )


def plan(config: Config, data: str, stages: tuple[str, ...]) -> str:
    """What `train` would do: data, networks with their parameters, and steps; nothing is trained or written."""
    strategy = make_strategy(config.strategy)
    dataset = load_dataset(data, config)
    lines = [describe_data(dataset.facts), f"vessels cover {dataset.vessel_share:.1%} of the field of view"]
    lines.append(f"strategy: {config.strategy}, {strategy.num_replicas_in_sync} replica(s)")
    for name in parts(config, stages):
        check_combination(strategy, config, name)
        steps = getattr(config, name).total_steps(len(dataset.pairs))
        images = steps * getattr(config, name).batch_size
        lines.append(f"{name}: {steps} steps of {getattr(config, name).batch_size}, {images} images")
        lines += [f"  {network.name}: {network.count_params():,} parameters" for network in _networks(config, name)]
    return "\n".join(lines)


def _networks(config: Config, stage: str) -> list[keras.Model]:
    if stage == "stage1":
        return [factory.mask_generator(config), factory.mask_discriminator(config)]
    if stage == "stage1_fine":
        return [factory.mask_refiner(config)]
    if stage == "stage2_fine":
        return [factory.fine_renderer(config)]
    if stage == "stage2" and config.stage2.architecture == "pyramid":
        return [factory.image_generator(config)]
    if stage == "segmenter":
        return [factory.segmenter(config)]
    encoder = [factory.style_encoder(config)] if config.stage2.style_dim else []
    return [factory.image_generator(config), factory.image_discriminator(config), *encoder]


def _make_folder(run: Path) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SynthMedError(f"The run folder {run} cannot be made ({error.strerror}); choose another --run.") from None


def _changed_options(run: Path, config: Config) -> dict[str, tuple[Any, Any]]:
    """Options that decide what is computed and differ from those that the run was begun with: name to (old, new)."""
    saved_file = run / "config.json"
    if not saved_file.exists():
        return {}
    saved = config_from_json(saved_file.read_text(encoding="utf-8"), str(saved_file))
    old, new = _flat(saved.model_dump()), _flat(config.model_dump())
    names = (name for name in sorted(set(old) | set(new)) if name not in _MAY_CHANGE)
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def _keep_overrides(run: Path, changes: dict[str, tuple[Any, Any]]) -> None:
    """Adds a line: each stage's step, and what is another from there on."""
    steps = {}
    for stage in STAGES:
        steps[stage] = max(saved_steps(run / stage / "checkpoints"), default=0)
    with open(run / "overrides.jsonl", "a", encoding="utf-8") as lines:
        lines.write(json.dumps({"steps": steps, "changes": changes}) + "\n")


def _check_same_data(run: Path, dataset: Dataset) -> None:
    saved_file = run / "data.json"
    if not saved_file.exists():
        return
    try:
        saved = json.loads(saved_file.read_text(encoding="utf-8"))
        source, pairs, digest = saved["source"], saved["pairs"], saved["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise SynthMedError(f"{saved_file} is damaged ({error}); restore it or choose another --run.") from None
    if digest != dataset.facts["sha256"]:
        raise SynthMedError(
            f"{run} was begun on other data ({source}, {pairs} pairs; now {dataset.facts['source']}, "
            f"{dataset.facts['pairs']} pairs); go on with the same images, or choose another --run."
        )


def _check_same_start(run: Path, start: Start | None) -> None:
    """Refuses to go on with a run that was begun with other weights."""
    if not (run / "config.json").exists():
        return
    begun, given = read_lineage(run), None if start is None else start.lineage
    if (begun or {}).get("model_sha256") == (given or {}).get("model_sha256"):
        return
    was, now = (f"--from {facts['name']}" if facts else "without --from" for facts in (begun, given))
    if begun and given:
        was, now = f"{was} (model {begun['model_sha256'][:12]})", f"model {given['model_sha256'][:12]}"
    raise SynthMedError(f"{run} was begun {was}, and now it is {now}; go on as before, or choose another --run.")


def _keep_lineage(run: Path, start: Start | None) -> None:
    if start is None:
        (run / LINEAGE).unlink(missing_ok=True)
    else:
        files.write_text(run / LINEAGE, json.dumps(start.lineage, indent=2) + "\n")


def read_lineage(run: Path) -> dict[str, Any] | None:
    """The model that a run was begun with, as `Start.lineage`; None where it began from nothing.

    Raises:
        SynthMedError: the file is damaged.
    """
    file = Path(run) / LINEAGE
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise SynthMedError(f"{file} is damaged ({error}); restore it or choose another --run.") from error


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
