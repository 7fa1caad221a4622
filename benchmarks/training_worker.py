"""One framework's training step in its own process: takes the requested number of steps, and times them.

    python benchmarks/training_worker.py tensorflow '{"preset": "gan", "stage": "stage1", "settings": []}'

`training_speed.py`, `replicas_speed.py` and `growth.py` start it. It prints a JSON object about itself, and then, for
each line with a number of steps, one with the seconds, those of all processors, and the most memory so far.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

BATCHES = 2
_NETWORKS = ("generator", "discriminator", "encoder", "network")
Run = Callable[[int], None]


def main() -> None:
    """Makes the step, takes two steps, and then serves requests."""
    framework, job = sys.argv[1], json.loads(sys.argv[2])
    made = tensorflow_step(job) if framework == "tensorflow" else torch_step(job, framework)
    run, facts = made
    before = _peak_memory()
    started = time.perf_counter()
    run(1)
    facts |= {"first step": time.perf_counter() - started, "memory before, MB": before}
    if framework in ("torch", "torch-simultaneous"):
        facts["GFLOP an image"] = _operations(run, job)
    run(1)
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        started, used = time.perf_counter(), time.process_time()
        run(int(line))
        metrics = {"seconds": time.perf_counter() - started, "processor seconds": time.process_time() - used}
        print(json.dumps(metrics | {"peak memory, MB": _peak_memory()}), flush=True)


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def load(job: dict[str, Any]):
    """The configuration of a job: `preset`, `settings`."""
    from synthmed_tf.config.schema import load_config

    return load_config(job["preset"], overrides=tuple(job["settings"]))


def images(config, batch_size: int) -> list[dict[str, np.ndarray]]:
    """The same few batches for every framework: masks of a few per cent, images of noise, a disc."""
    rng, size = np.random.default_rng(0), config.size
    disc = np.hypot(*(np.mgrid[:size, :size] - (size - 1) / 2))[..., None] < size / 2
    batches = []
    for i in range(BATCHES):
        fov = np.broadcast_to(disc, (batch_size, size, size, 1)).astype(np.float32)
        coverage = (rng.random((batch_size, size, size, 1)) < 0.1).astype(np.float32) * fov
        image = (rng.random((batch_size, size, size, 3), np.float32) * 2.0 - 1.0) * fov - (1.0 - fov)
        index = np.arange(i * batch_size, (i + 1) * batch_size)
        batches.append({"image": image, "coverage": coverage, "fov": fov, "index": index})
    return batches


def maps(config, stage: str, batch_size: int) -> list[dict[str, np.ndarray]]:
    """The same for the stages of `recommended`: `maps` of noise with the shape of the stage's batches, and `index`."""
    rng, side = np.random.default_rng(0), _side_of_maps(config, stage)
    batches = []
    for i in range(BATCHES):
        values = rng.random((batch_size, side, side, {"stage1": 2, "stage1_fine": 3}.get(stage, 5)), np.float32)
        values[..., :2] *= rng.random((batch_size, side, side, 1)) < 0.3
        if stage.startswith("stage2"):
            values[..., 3:] = values[..., 3:] < (0.1, 0.9)
        batches.append({"maps": values, "index": np.arange(i * batch_size, (i + 1) * batch_size)})
    return batches


def _side_of_maps(config, stage: str) -> int:
    whole, factor = config.coarse_size, config.size // config.coarse_size
    if stage == "stage1_fine":
        return min(config.stage1_fine.crop, whole) * factor
    return min(config.stage2_fine.crop, config.size) if stage == "stage2_fine" else whole


def tensorflow_step(job: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    """This package's step in its compiled loop; with `replicas` in the job, over so many logical CPUs."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    from synthmed_tf.data.dataset import Dataset
    from synthmed_tf.training.allocator import keep_freed_memory
    from synthmed_tf.training.run import make_step

    keep_freed_memory()
    replicas, config = job.get("replicas", 1), load(job)
    if replicas > 1:
        cpu, logical = tf.config.list_physical_devices("CPU")[0], tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(cpu, [logical] * replicas)
        strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    else:
        strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    everywhere = np.full((1, config.size, config.size, 5), 255, np.uint8)
    with strategy.scope():
        keras.utils.set_random_seed(0)
        step = make_step(job["stage"], config, Dataset(everywhere, {}), strategy)
    made = _batches_of(job, config)
    if hasattr(step.stage, "batches"):
        expected = step.stage.batches(replicas=replicas).element_spec["maps"].shape
        assert made[0]["maps"].shape[1:] == tuple(expected[1:]), f"expected maps {expected}"
    ours = {name: np.concatenate([batch[name] for batch in made]) for name in made[0]}
    parts = {name: np.stack(np.split(values, BATCHES * replicas)) for name, values in ours.items()}
    dataset = tf.data.Dataset.from_tensor_slices(parts).repeat().prefetch(2)  # a replica's part each, as in training
    batches = iter(strategy.distribute_datasets_from_function(lambda _: dataset))
    networks = [network for name in _NETWORKS if (network := getattr(step.stage, name, None)) is not None]

    def run(steps: int) -> None:
        history = step.run(batches, tf.constant(steps, tf.int32)).numpy()
        assert len(history) == steps, "a term was not finite"

    counts = [sum(int(np.prod(variable.shape)) for variable in n.trainable_variables) for n in networks]
    return run, {"parameters": counts, "version": tf.__version__}


def _batch_size(job: dict[str, Any], config) -> int:
    return getattr(config, job["stage"]).batch_size


def _batches_of(job: dict[str, Any], config) -> list[dict[str, np.ndarray]]:
    batch_size = _batch_size(job, config)
    return maps(config, job["stage"], batch_size) if _learns_maps(job, config) else images(config, batch_size)


def _learns_maps(job: dict[str, Any], config) -> bool:
    """Whether it is a stage of `recommended`."""
    coarse = {"stage1": config.stage1.architecture == "coarse_to_fine"}
    return coarse.get(job["stage"], config.stage2.architecture == "pyramid")


def torch_step(job: dict[str, Any], variant: str) -> tuple[Run, dict[str, Any]]:
    """The same step in PyTorch. `variant`: `torch`, with any of `-channels_last`, `-compile`, `-simultaneous` added."""
    import torch

    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    config = load(job)
    layout = torch.channels_last if "channels_last" in variant else torch.contiguous_format
    step = _make_torch_step(job, config, layout, simultaneous="simultaneous" in variant)
    stage = step.stage
    networks = [network for name in _NETWORKS if (network := getattr(stage, name, None)) is not None]
    for network in vars(stage).values():
        if isinstance(network, torch.nn.Module):
            network.to(memory_format=layout)
    if "compile" in variant:
        for network in networks:
            network.compile()
    stream, batch_size = _torch_batches(_batches_of(job, config), layout), _batch_size(job, config)

    def run(steps: int) -> None:
        history = [step(next(stream) | stage.numbers(batch_size)) for _ in range(steps)]
        assert all(np.isfinite(float(value)) for value in history[-1].values()), "a term was not finite"

    facts = {"parameters": [sum(p.numel() for p in n.parameters()) for n in networks], "version": torch.__version__}
    return run, facts


def _make_torch_step(job: dict[str, Any], config, layout, simultaneous: bool):
    import torch
    import torch_recommended as recommended
    import torch_step as ours

    name = job["stage"]
    if not _learns_maps(job, config):
        stage = ours.MaskStage(config) if name == "stage1" else ours.ImageStage(config)
    elif name == "stage1":
        everywhere = torch.ones(1, 1, config.coarse_size, config.coarse_size)
        stage = recommended.RidgeStage(config, everywhere, unreached=0.0)
    else:
        return recommended.SupervisedStep(recommended.SUPERVISED[name](config, layout))
    return ours.AdversarialStep(stage, simultaneous)


def _operations(run: Run, job: dict[str, Any]) -> float | None:
    """Operations of matrix products and convolutions, in thousand millions an image; None with R1, whose second
    derivatives PyTorch's counter cannot follow."""
    from torch.utils.flop_counter import FlopCounterMode

    stage = getattr(load(job), job["stage"])
    if getattr(stage, "r1_gamma", 0.0):
        return None
    with FlopCounterMode(display=False) as counter:
        run(1)
    return counter.get_total_flops() / stage.batch_size / 1e9


def _torch_batches(batches: list[dict[str, np.ndarray]], layout) -> Iterator[dict[str, Any]]:
    import torch

    made = []
    for batch in batches:
        images = {name: torch.from_numpy(values.copy()) for name, values in batch.items() if values.ndim == 4}
        images = {name: i.permute(0, 3, 1, 2).contiguous(memory_format=layout) for name, i in images.items()}
        index = torch.from_numpy(batch["index"])
        made.append(images | {"index": index, "paired": (index % 2 == 0).float()})
    while True:
        yield from made


if __name__ == "__main__":
    main()
