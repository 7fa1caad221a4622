"""The peak of this machine: matrix products and additions in memory.

python benchmarks/machine.py
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_SIDE = 2048
_BYTES = 1 << 28


def main() -> None:
    """Prints one JSON object; the argument is the number of threads (default: all cores)."""
    print(json.dumps(_measured(int(sys.argv[1]) if len(sys.argv) > 1 else len(os.sched_getaffinity(0)))))


def measure(threads: int) -> dict[str, float]:
    """Measures in a process of its own, so that it has its own threads.

    Returns:
        `matmul, GFLOP/s`: float32 products of 2,048 x 2,048, at 2 n^3 operations each.
        `memory, GB/s`: an array of 256 MB added to another in place, at three bytes moved for each byte of one.
        Both are the best of several.
    """
    command = [sys.executable, str(Path(__file__).resolve()), str(threads)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    return json.loads(done.stdout)


def _measured(threads: int) -> dict[str, float]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    a, b = tf.random.normal((_SIDE, _SIDE)), tf.random.normal((_SIDE, _SIDE))
    ones, total = tf.ones((_BYTES // 4,)), tf.Variable(tf.zeros((_BYTES // 4,)))
    return {
        "threads": threads,
        "matmul, GFLOP/s": 2 * _SIDE**3 / _best(lambda: tf.matmul(a, b)[0, 0].numpy(), 12) / 1e9,
        "memory, GB/s": 3 * _BYTES / _best(lambda: total.assign_add(ones, read_value=False), 6) / 1e9,
    }


def _best(run: Callable[[], object], times: int) -> float:
    """The least time of several, in seconds."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
