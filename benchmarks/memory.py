"""How much memory one training step takes on one device, by preset, stage, size and precision: computed, without a GPU.

    python benchmarks/memory.py
    python benchmarks/memory.py --check

The real step is traced and not run. A tensor takes memory from the operation that makes it to the last one that reads
it, in the order of tracing; it takes none if its operation can overwrite an input that is not read later, or passes
one on. Variables (weights, averages, optimizers) and the batch are added. What is not in the graph is not counted:
workspaces of convolutions, CUDA itself, copies for sums over replicas, XLA's changes. Each network has its own
process.

`--check` also takes steps on the CPU with TensorFlow's GPU allocator, and compares with its peak.
"""

import argparse
import gc
import json
import math
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import record

NETWORKS = {
    "recommended-stage1": ("recommended", "stage1"),
    "recommended-stage1_fine": ("recommended", "stage1_fine"),
    "recommended-stage2": ("recommended", "stage2"),
    "recommended-stage2_fine": ("recommended", "stage2_fine"),
    "gan-stage1": ("gan", "stage1"),
    "gan-stage2": ("gan", "stage2"),
    "paper-stage1": ("paper", "stage1"),
    "paper-stage2": ("paper", "stage2"),
    "segmenter": ("gan", "segmenter"),
}
SIZES, CHECKED = (64, 128, 256, 512, 1024), (64, 128)
PRECISIONS = ("float32", "mixed_float16")
CARDS, GIB = (8, 12, 16, 24, 40, 80), 1 << 30
Row = dict[str, Any]

# Left free on a card: a guess for CUDA's context, and a margin for what the allocator takes beyond the computed.
_CONTEXT, _MARGIN = GIB, 1.25

# Their kernels hand an input on as it is, or write their result over it where nobody else reads it.
_SAME = {"Identity", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "PreventGradient", "EnsureShape"}
_SAME |= {"OptionalFromValue", "OptionalGetValue"}
_NO_MEMORY = _SAME | {"Const", "Placeholder", "BroadcastGradientArgs"}
_IN_PLACE = {"Add", "AddV2", "AddN", "Sub", "Mul", "RealDiv", "DivNoNan", "Maximum", "Minimum", "SquaredDifference"}
_IN_PLACE |= {"Neg", "Exp", "Log", "Sqrt", "Rsqrt", "Square", "Tanh", "Sigmoid", "Softplus", "Abs", "Sign", "Floor"}
_IN_PLACE |= {"Relu", "ReluGrad", "LeakyRelu", "LeakyReluGrad", "TanhGrad", "SigmoidGrad", "SoftplusGrad", "BiasAdd"}
_IN_PLACE |= {"SqrtGrad", "RsqrtGrad", "SelectV2", "FusedBatchNormV3", "FusedBatchNormGradV3"}


def main() -> None:
    """Works out every network and size, and writes JSON and tables."""
    options = _options()
    if options.job:
        for result in worked_out(json.loads(options.job)):
            print(json.dumps(result), flush=True)
        return
    jobs = [(name, precision) for name in options.networks for precision in options.precisions]
    rows = [row for name, precision in jobs for row in _rows(name, precision, options)]
    if options.check:
        record.save("memory_check", {"rows": rows}, _checks(rows), options.out)
        return
    needs = _pivot(rows, ("network", "batch"), lambda row: {f"{row['size']} px": f"{row['computed'] / GIB:.2f}"})
    fits = _pivot(rows, ("network", "size"), lambda row: {f"{n} GB": f"{b or '–'}" for n, b in row["fits"].items()})
    record.save("memory", {"rows": rows}, f"{needs}\n{fits}", options.out)


def worked_out(job: dict[str, Any]) -> Iterator[Row]:
    """A row for each size. Memory is linear in the batch, so two batches suffice."""
    import keras

    for size in job["sizes"]:
        once = Trace(job, size, 1)
        row = {"size": size, "precision": job["precision"], "batch": once.batch, "variables": once.variables}
        row["computed"] = once.variables + int(once.profile.max())
        if job["check"]:
            row["reported"] = once.reported()
        else:
            growth = (Trace(job, size, 2).profile - once.profile) / once.batch
            fixed = once.variables + once.profile - growth * once.batch
            row["fits"] = {card: _largest_batch(card, fixed, growth) for card in CARDS}
        yield row
        del once
        keras.backend.clear_session()
        gc.collect()


class Trace:
    """A stage's step on one device, traced for batches of one shape.

    Attributes:
        batch: images a step.
        variables: bytes of all that a checkpoint holds, and of the increments of RMSprop's kernel, which it does not.
        profile: `(operations,)` int64, bytes of all other tensors, the batch among them, while each operation runs.
    """

    def __init__(self, job: dict[str, Any], size: int, times: int):
        """Makes the networks and traces; `times` the preset's batch, or the batch in the settings."""
        import tensorflow as tf

        from synthmed_tf.config.schema import load_config
        from synthmed_tf.data.dataset import Dataset
        from synthmed_tf.training.run import make_step

        stage, settings = job["stage"], (f"size={size}", f"precision={job['precision']}", *job["settings"])
        self.batch = times * getattr(load_config(job["preset"], overrides=settings), stage).batch_size
        config = load_config(job["preset"], overrides=(*settings, f"{stage}.batch_size={self.batch}"))
        self._strategy = tf.distribute.OneDeviceStrategy("CPU:0")
        self._before = tf.config.experimental.get_memory_info("CPU:0")["current"]
        everywhere = np.full((1, size, size, 5), 255, np.uint8)
        with self._strategy.scope():
            self._step = make_step(stage, config, Dataset(everywhere, {}), self._strategy)
        self._batch = self._specification(size)
        traced = tf.function(lambda batch, step: self._strategy.run(self._step.replica_step, args=(batch, step)))
        graph = traced.get_concrete_function(self._batch, tf.TensorSpec((), tf.int64)).graph
        optimizers = (getattr(part, "optimizer", None) for part in vars(self._step).values())
        extra = (getattr(optimizer, "_increments", ()) for optimizer in optimizers)
        self.variables = sum(_bytes(v) for part in (*self._step.state().values(), *extra) for v in part)
        self.profile = np.array(profile(graph)) + sum(map(_bytes, self._batch.values()))

    def _specification(self, size: int) -> dict[str, Any]:
        """Of a batch; stages that learn from maps and crops have a stream of their own."""
        import tensorflow as tf

        if hasattr(self._step.stage, "batches"):
            return self._step.stage.batches().element_spec
        shapes = {"image": (size, size, 3), "coverage": (size, size, 1), "fov": (size, size, 1)}
        specification = {name: tf.TensorSpec((self.batch, *shape)) for name, shape in shapes.items()}
        return specification | {"index": tf.TensorSpec((self.batch,), tf.int64)}

    def reported(self) -> int:
        """The allocator's peak in the second of two steps, both with R1, beyond what was there before; in bytes."""
        import tensorflow as tf

        memory = tf.config.experimental
        rng = np.random.default_rng(0)
        values = {name: tf.cast(rng.random(spec.shape), spec.dtype) for name, spec in self._batch.items()}
        dataset = tf.data.Dataset.from_tensors(values).repeat()
        batches = iter(self._strategy.experimental_distribute_dataset(dataset))
        self._step.run(batches, tf.constant(1))
        self._step.global_step.assign(0)
        memory.reset_memory_stats("CPU:0")
        self._step.run(batches, tf.constant(1))
        return memory.get_memory_info("CPU:0")["peak"] - self._before


def profile(graph) -> list[int]:
    """Bytes of a graph's tensors, its inputs and constants excepted, while each operation runs.

    The operations of the branches of conditionals are listed in their place, one branch after the other.
    """
    operations = _needed(graph)
    owners = _owners(operations)
    copied = _copied(operations, owners)
    readers = Counter(owners[tensor.name] for operation in operations for tensor in operation.inputs)
    readers.update(owners[tensor.name] for tensor in graph.outputs)
    held, now, found = {}, 0, []
    for operation in operations:
        read_here = Counter(owners[tensor.name] for tensor in operation.inputs)
        for tensor, size in zip(operation.outputs, _made(operation), strict=True):
            if owners[tensor.name] != tensor.name or (operation.type == "ReadVariableOp" and tensor.name not in copied):
                continue
            held[tensor.name] = size
            now += size
            if operation.type in _IN_PLACE:
                last = (owner for owner in read_here if readers[owner] == read_here[owner] and held.get(owner) == size)
                now -= held.pop(next(last, None), 0)
        inside = [total for branch in _branches(operation) for total in profile(branch)]
        before = now - sum(held.get(tensor.name, 0) for tensor in operation.outputs)
        found += [now, *(before + total for total in inside)]
        readers -= read_here
        gone = {*read_here, *(tensor.name for tensor in operation.outputs)}
        now -= sum(held.pop(owner, 0) for owner in gone if not readers[owner])
    return found


def _needed(graph) -> list:
    """The operations that the outputs or side effects need, in the order of tracing."""
    waiting, needed = [*(tensor.op for tensor in graph.outputs), *graph.control_outputs], set()
    while waiting:
        operation = waiting.pop()
        if operation not in needed:
            needed.add(operation)
            waiting += [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]
    return [operation for operation in graph.get_operations() if operation in needed]


def _owners(operations: list) -> dict[str, str]:
    """Of each tensor, by name, the one whose memory it is."""
    owners: dict[str, str] = {}
    for operation in operations:
        for tensor in operation.outputs:
            owners[tensor.name] = owners[operation.inputs[0].name] if operation.type in _SAME else tensor.name
    return owners


def _copied(operations: list, owners: dict[str, str]) -> set[str]:
    """Reading a variable takes no memory, unless it is written while what was read is still needed: those reads."""
    last_read = {owners[tensor.name]: i for i, operation in enumerate(operations) for tensor in operation.inputs}
    copied, reads = set(), defaultdict(list)
    for place, operation in enumerate(operations):
        if operation.type == "ReadVariableOp":
            reads[operation.inputs[0].name].append(operation.outputs[0].name)
        elif operation.type.startswith(("Assign", "ResourceApply")):
            written = (tensor.name for tensor in operation.inputs if tensor.dtype == "resource")
            copied |= {value for name in written for value in reads[name] if last_read.get(value, 0) > place}
    return copied


def _made(operation) -> list[int]:
    """Bytes of each output of an operation."""
    if operation.type in _NO_MEMORY:
        return [0] * len(operation.outputs)
    branches = _branches(operation)
    if branches:
        return [max(map(_kept, outputs)) for outputs in zip(*(branch.outputs for branch in branches), strict=True)]
    return [_bytes(tensor) for tensor in operation.outputs]


def _kept(output) -> int:
    """Bytes of a branch's output; what the gradient needs of the branch is wrapped in optional values."""
    wrapped = output.op.inputs if output.op.type == "OptionalFromValue" else [output]
    return sum(_bytes(tensor) for tensor in wrapped if tensor.op.type != "Placeholder")


def _branches(operation) -> tuple:
    """The graphs of a conditional; none for other operations."""
    from tensorflow.python.ops import cond_v2

    if operation.type in ("If", "StatelessIf"):
        return cond_v2.get_func_graphs(operation)
    if operation.type.endswith(("While", "PartitionedCall", "Case")):
        raise SystemExit(f"memory.py: {operation.name} is a {operation.type}, whose inside cannot be seen here.")
    return ()


def _bytes(tensor) -> int:
    """Of a tensor, variable or specification; handles take none."""
    import tensorflow as tf

    if tensor.dtype in (tf.resource, tf.variant, tf.string):
        return 0
    if not tensor.shape.is_fully_defined():
        raise SystemExit(f"memory.py: the shape of {tensor.name}, {tensor.shape}, is not known when it is traced.")
    return math.prod(tensor.shape) * tensor.dtype.size


def _largest_batch(card: int, fixed: np.ndarray, growth: np.ndarray) -> int:
    """How many images per step fit into so many GB; 0 if not even one does."""
    room = (card * GIB - _CONTEXT) / _MARGIN - fixed
    return int(np.min(room[growth > 0] / growth[growth > 0])) if room.min() > 0 else 0


def _rows(name: str, precision: str, options: argparse.Namespace) -> list[Row]:
    preset, stage = NETWORKS[name]
    sizes = options.sizes or (CHECKED if options.check else SIZES)
    job = {"preset": preset, "stage": stage, "sizes": sizes, "precision": precision, "check": options.check}
    job["settings"] = [f"{stage}.{setting}" for setting in options.set]
    # One thread between operations, so that as many tensors live at a time in each run.
    environment = {"TF_CPU_ALLOCATOR_USE_BFC": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(Path(__file__).resolve()), "--job", json.dumps(job)]
    rows = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment) as process:
        for line in process.stdout:
            rows.append({"network": name, **json.loads(line)})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    if process.returncode:
        raise SystemExit(f"memory.py: the process for {name} ended with code {process.returncode}.")
    return rows


def _pivot(rows: list[Row], names: tuple[str, ...], cells: Callable[[Row], dict[str, str]]) -> str:
    """A line for each of the values of `names`; a cell has the values of all precisions."""
    lines: dict[tuple, dict[str, list[str]]] = {}
    for row in rows:
        line = lines.setdefault(tuple(row[name] for name in names), {})
        for column, text in cells(row).items():
            line.setdefault(column, []).append(text)
    columns = list(dict.fromkeys(column for line in lines.values() for column in line))
    body = [[*values, *(" / ".join(line.get(column, ())) for column in columns)] for values, line in lines.items()]
    return record.table([*names, *columns], body)


def _checks(rows: list[Row]) -> str:
    named, body = ("network", "size", "batch", "precision"), []
    for row in rows:
        megabytes = [f"{row[name] / (1 << 20):.0f}" for name in ("computed", "reported")]
        body.append([*(row[name] for name in named), *megabytes, f"{row['reported'] / row['computed']:.2f}"])
    return record.table([*named, "computed, MB", "reported, MB", "reported / computed"], body)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--sizes", nargs="+", type=int, help="all; with --check 64 and 128")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="of the stage, such as batch_size=4")
    parser.add_argument("--check", action="store_true", help="take steps on the CPU and compare")
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
