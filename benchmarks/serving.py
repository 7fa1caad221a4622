"""`synthmed serve` under load, with and without batching, compared with bare inference of the same SavedModel.

    python benchmarks/serving.py --model MODEL

Clients ask for encoded pairs (`serving_default`) over REST and over gRPC, one request after the other, with 1 to 8
pairs each. The server and the clients share the machine.
"""

import argparse
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import record

from synthmed_tf.exporting.artifact import SAVEDMODEL

_MOST = 8


def main() -> None:
    """Measures, and writes JSON and table."""
    options = _options()
    bare, rows = Bare(options.model), []
    for transport in ("rest", "grpc"):
        for batching in (False, True):
            before = bare.speed()  # before and after, since the machine may be shared and its speed drift
            row = measure(options, transport, batching)
            row["of bare inference"] = row["pairs a second"] / ((before + bare.speed()) / 2)
            rows.append(row)
    shown = [[f"{cell:.2f}" if 0 < cell < 2 else f"{cell:.0f}" for cell in list(row.values())[2:]] for row in rows]
    table = record.table(
        list(rows[0]), [[*list(row.values())[:2], *cells] for row, cells in zip(rows, shown, strict=True)]
    )
    record.save("serving", {"clients": options.clients, "requests": options.requests, "rows": rows}, table, options.out)


class Bare:
    """Inference of `serving_default`, encoding included, without a server."""

    def __init__(self, model: Path):
        import tensorflow as tf

        self._tf, self._model = tf, tf.saved_model.load(str(model / SAVEDMODEL))

    def speed(self, batch: int = 32, seconds: float = 4.0) -> float:
        """Pairs a second."""
        generate, seed = self._model.signatures["serving_default"], self._tf.zeros(batch, self._tf.int64)
        generate(seed=seed, index=seed)
        started, pairs = time.perf_counter(), 0
        while time.perf_counter() < started + seconds:
            generate(seed=seed, index=self._tf.range(pairs, pairs + batch, dtype=self._tf.int64))
            pairs += batch
        return pairs / (time.perf_counter() - started)


def measure(options: argparse.Namespace, transport: str, batching: bool) -> dict[str, Any]:
    """Throughput and latency of one way to ask."""
    command = [sys.executable, "-m", "synthmed_tf", "serve", "--model", str(options.model)]
    command += ["--rest-port", "0", "--grpc-port", "0", *([] if batching else ["--no-batching"])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        said = re.search(r"REST on (http://[^/]+)/\S+, gRPC on (\S+)", server.stdout.readline())
        url = said[1] if transport == "rest" else f"grpc://{said[2]}"
        try:
            load(url, 2, 8)  # so that tracing is not counted
            pairs, seconds, latencies = load(url, options.clients, options.requests)
        finally:
            server.terminate()
    middle, most, worst = 1000 * np.quantile(latencies, (0.5, 0.95, 0.99))
    named = {"interface": transport, "batching": "yes" if batching else "no", "pairs a second": pairs / seconds}
    return named | {"p50, ms": middle, "p95, ms": most, "p99, ms": worst}


def load(url: str, clients: int, requests: int) -> tuple[int, float, list[float]]:
    """Pairs, seconds, and the seconds of each request."""
    from synthmed_tf.serving.client import Client

    def ask(number: int) -> list[tuple[int, float]]:
        rng, asked = np.random.default_rng(number), []
        with Client(url) as client:
            for _ in range(requests // clients):
                index = rng.integers(0, 2**40, rng.integers(1, _MOST + 1))
                started = time.perf_counter()
                client.png(np.zeros_like(index), index)
                asked.append((len(index), time.perf_counter() - started))
        return asked

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        asked = [one for part in pool.map(ask, range(clients)) for one in part]
    return sum(pairs for pairs, _ in asked), time.perf_counter() - started, [seconds for _, seconds in asked]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="an artifact")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=640)
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
