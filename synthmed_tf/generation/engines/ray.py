"""Generates shards on Ray: a task for each shard, which Ray runs on any node and retries where a node is lost."""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from synthmed_tf.generation.engines.work import Work
from synthmed_tf.generation.part import Progress

AHEAD = 10_000
"""Tasks that are submitted at once. Ray keeps each in the memory of the driver."""


def run(work: Work, numbers: Sequence[int], options: Mapping[str, str], progress: Progress) -> None:
    """Generates shards, and returns when all are whole.

    Args:
        work: what a task does.
        numbers: of the shards.
        options: `address` of the cluster; everything else is an argument of `ray.remote`, such as `num_cpus`,
            `num_gpus` and `max_retries`. Without an address Ray takes the cluster of RAY_ADDRESS or of this machine,
            and starts one on this machine if there is none.
        progress: called with (done, total), in pairs.
    """
    arguments = {name: _value(value) for name, value in options.items()}
    address, ours = arguments.pop("address", None), not ray.is_initialized()
    if ours:
        ray.init(address)
    try:
        _run(work, numbers, arguments, progress)
    finally:
        if ours:
            ray.shutdown()


def _run(work: Work, numbers: Sequence[int], arguments: Mapping[str, Any], progress: Progress) -> None:
    def generate_shard(shard: int) -> int:
        return work(shard)

    task = ray.remote(**arguments)(generate_shard) if arguments else ray.remote(generate_shard)
    total = sum(len(work.plan.indices(number)) for number in numbers)
    waiting: list[Any] = []
    left, done = iter(numbers), 0
    try:
        while done < total:
            waiting += [task.remote(number) for number in itertools.islice(left, AHEAD - len(waiting))]
            finished, waiting = ray.wait(waiting)
            done += sum(ray.get(finished))
            progress(done, total)
    finally:
        for reference in waiting:
            ray.cancel(reference)


def _value(text: str) -> Any:
    """A number or a structure in JSON; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
