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
_NAMES = ("image", "coverage", "fov", "index")
_NETWORKS = ("generator", "discriminator", "encoder")
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
    ours = {name: np.concatenate([batch[name] for batch in _images_of(job, config)]) for name in _NAMES}
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


def _images_of(job: dict[str, Any], config) -> list[dict[str, np.ndarray]]:
    return images(config, _batch_size(job, config))


def torch_step(job: dict[str, Any], variant: str) -> tuple[Run, dict[str, Any]]:
    """The same step in PyTorch. `variant`: `torch`, with any of `-channels_last`, `-compile`, `-simultaneous` added."""
    import torch
    import torch_step as ours

    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    config = load(job)
    stage = ours.MaskStage(config) if job["stage"] == "stage1" else ours.ImageStage(config)
    networks = [network for name in _NETWORKS if (network := getattr(stage, name, None)) is not None]
    layout = torch.channels_last if "channels_last" in variant else torch.contiguous_format
    for network in [*networks, stage.generator_ema]:
        network.to(memory_format=layout)
        if "compile" in variant:
            network.compile()
    step = ours.AdversarialStep(stage, simultaneous="simultaneous" in variant)
    stream = _torch_batches(_images_of(job, config), layout)

    def run(steps: int) -> None:
        history = []
        for _ in range(steps):
            batch = next(stream)
            history.append(step(batch | stage.numbers(len(batch["coverage"]))))
        assert all(np.isfinite(float(value)) for value in history[-1].values()), "a term was not finite"

    facts = {"parameters": [sum(p.numel() for p in n.parameters()) for n in networks], "version": torch.__version__}
    return run, facts


def _operations(run: Run, job: dict[str, Any]) -> float | None:
    """Operations of matrix products and convolutions, in thousand millions an image; None with R1, whose second
    derivatives PyTorch's counter cannot follow."""
    from torch.utils.flop_counter import FlopCounterMode

    stage = getattr(load(job), job["stage"])
    if stage.r1_gamma:
        return None
    with FlopCounterMode(display=False) as counter:
        run(1)
    return counter.get_total_flops() / stage.batch_size / 1e9


def _torch_batches(batches: list[dict[str, np.ndarray]], layout) -> Iterator[dict[str, Any]]:
    import torch

    made = []
    for batch in batches:
        tensors = {name: torch.from_numpy(batch[name].copy()).permute(0, 3, 1, 2) for name in _NAMES[:3]}
        tensors = {name: tensor.contiguous(memory_format=layout) for name, tensor in tensors.items()}
        made.append(tensors | {"paired": torch.from_numpy((batch["index"] % 2 == 0).astype(np.float32))})
    while True:
        yield from made


if __name__ == "__main__":
    main()
