"""The compact form of an artifact: weights in float16, in one file that the SavedModel and the ONNX file both read.

The numbers of the networks are in the SavedModel's `variables`: weights rounded to float16, which the graphs cast to
float32, and large constants as they are. Computation stays in float32, so that both forms generate
the same images; what rounding changes is measured when the artifact is written (`parity.json`).
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from synthmed_tf.models import layers
from synthmed_tf.models.chained_generator import Chain
from synthmed_tf.training.snapshot import Snapshot

WEIGHTS = Path("savedmodel") / "1" / "variables" / "variables.data-00000-of-00001"
"""The shared file, in the artifact."""

_LEAST_BYTES, _COMPARED = 1024, 4
_TO_TENSORFLOW = {4: (2, 3, 1, 0), 2: (1, 0)}
"""How the axes of an ONNX file's kernels come back to TensorFlow's order, by their number."""


def rounded(part: Snapshot) -> Snapshot:
    """A snapshot with weights that float16 represents; its thresholds stay."""
    return dataclasses.replace(part, weights=[np.float16(weight).astype(np.float32) for weight in part.weights])


def describe(exact: Chain, chain: Chain) -> dict[str, Any]:
    """The card's facts on rounded weights, with what rounding changes in four pairs.

    Args:
        exact, chain: with the weights as they were trained, and rounded.
    """
    index = tf.range(_COMPARED, dtype=tf.int64)
    seed = tf.zeros_like(index)
    masks, images = (found.numpy() for found in chain.pixels(seed, index).values())
    apart = np.abs(exact.translate(tf.constant(masks), seed, index)["image"].numpy().astype(np.int16) - images)
    return {
        "precision": "float16",
        "file": WEIGHTS.as_posix(),
        "pairs_compared": _COMPARED,
        "mask_share": float(np.mean(exact.pixels(seed, index)["mask"].numpy() != masks)),
        "grey_levels": int(apart.max()),
        "mean_grey_levels": float(apart.mean()),
    }


def compacted(chain: Chain) -> Chain:
    """The same chain, made of compact networks; float16 must represent its weights."""
    config, condition = chain.config, 2 if chain.config.stage2.use_fov else 1
    latent = tf.TensorSpec((None, config.stage1.latent_dim), tf.float32)
    given = [tf.TensorSpec((None, config.size, config.size, condition), tf.float32)]
    given += [tf.TensorSpec((None, config.stage2.style_dim), tf.float32)] if config.stage2.style_dim else []
    networks = CompactNetwork(chain.networks.mask, latent), CompactNetwork(chain.networks.image, *given)
    return Chain(config, *networks, chain.threshold, chain.fov, chain.styles)


class CompactNetwork(tf.Module):  # type: ignore[misc]
    """A network whose weights are float16 variables, cast to float32, and whose large constants are variables too.

    Attributes:
        variables: the weights, in the order of the network's own.
        constants: the large constants.
    """

    def __init__(self, network: keras.Model, *inputs: tf.TensorSpec):
        """Traces the network, whose weights float16 must represent.

        Args:
            network: a generator.
            inputs: of the shapes and dtypes that it is called with.
        """
        super().__init__()
        weights = layers.plain_variables(network)
        self._variables = [tf.Variable(tf.cast(weight, tf.float16), trainable=False) for weight in weights]
        self._constants: list[tf.Variable] = []
        # TensorFlow looks into lists and dicts of a module, and takes no keys but texts.
        self._known = SimpleNamespace(variables={})
        for weight, variable in zip(weights, self._variables, strict=True):
            self._known.variables[_key(weight.numpy())] = variable
        traced = tf.function(lambda *arguments: network(*arguments, training=False), autograph=False)
        # Functions are inlined, and weights become constants.
        frozen = convert_variables_to_constants_v2(traced.get_concrete_function(*inputs))
        graph = frozen.graph.as_graph_def()
        names = {node.name: f"n{place}" for place, node in enumerate(graph.node)}
        large = [node for node in graph.node if node.op == "Const" and _bytes(node) >= _LEAST_BYTES]
        self._frozen = SimpleNamespace(
            graph=_renamed(graph, names, without={node.name for node in large}),
            large={names[node.name]: self._variable(node) for node in large},
            inputs=[names[tensor.op.name] for tensor in frozen.inputs],
            output=f"{names[frozen.outputs[0].op.name]}:{frozen.outputs[0].value_index}",
        )

    @property
    def variables(self) -> list[tf.Variable]:
        return self._variables

    @property
    def constants(self) -> list[tf.Variable]:
        return self._constants

    def __call__(self, *arguments: tf.Tensor, training: bool = False) -> tf.Tensor:
        """As the network; not for training."""
        frozen = self._frozen
        mapped = {name: _read(variable) for name, variable in frozen.large.items()}
        mapped |= dict(zip(frozen.inputs, arguments, strict=True))
        return tf.graph_util.import_graph_def(frozen.graph, mapped, [frozen.output], name="")[0]

    def _variable(self, node: Any) -> tf.Variable:
        """The variable of a constant; equal constants share one."""
        value = tf.make_ndarray(node.attr["value"].tensor)
        known = self._known.variables
        if _key(value) not in known:
            known[_key(value)] = tf.Variable(value, trainable=False)
            self._constants.append(known[_key(value)])
        return known[_key(value)]


def _key(value: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return value.dtype.str, value.shape, value.tobytes()


def _read(variable: tf.Variable) -> tf.Tensor:
    value = variable.read_value()
    return tf.cast(value, tf.float32) if value.dtype == tf.float16 else value


def _renamed(graph: Any, names: dict[str, str], without: set[str]) -> Any:
    """A graph definition with other names, and without some nodes; others that wait for these no longer do."""
    kept = tf.compat.v1.GraphDef(versions=graph.versions, library=graph.library)
    for node in graph.node:
        if node.name not in without:
            made = kept.node.add()
            made.CopyFrom(node)
            made.name = names[node.name]
            del made.input[:]
            made.input.extend(
                _input(name, names) for name in node.input if name.removeprefix("^") not in without or name[0] != "^"
            )
    return kept


def _input(name: str, names: dict[str, str]) -> str:
    """The input of a node by its new name: `name`, `name:1`, or `^name` for one that it waits for."""
    node, colon, place = name.removeprefix("^").partition(":")
    return ("^" if name.startswith("^") else "") + names[node] + colon + place


def _bytes(node: Any) -> int:
    tensor = node.attr["value"].tensor
    return int(tf.TensorShape(tensor.tensor_shape).num_elements() * tf.as_dtype(tensor.dtype).size)


def share(file: Path, weights: Path) -> None:
    """Takes the numbers out of an ONNX file that are also in a SavedModel's file of variables.

    Args:
        file: the ONNX file, which is replaced.
        weights: the variables, in a folder below that of `file`.
    """
    import onnx

    model, numbers = onnx.load(str(file)), weights.read_bytes()
    kept, casts = [], []
    for tensor in model.graph.initializer:
        place = _found(tensor, numbers) if _size(tensor) >= _LEAST_BYTES else None
        if place is not None:
            casts += _refer(tensor, place, weights.relative_to(file.parent).as_posix())
        kept.append(tensor)
    nodes = [*casts, *model.graph.node]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    _shorten_names(model.graph)
    file.write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(file), full_check=True)


def _shorten_names(graph: Any) -> None:
    """Gives all tensors but inputs and outputs short names, which are a third of a file without weights."""
    fixed = {value.name for value in (*graph.input, *graph.output)}
    made = [tensor.name for tensor in graph.initializer] + [name for node in graph.node for name in node.output]
    names = {name: f"t{place}" for place, name in enumerate(made) if name and name not in fixed}
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.name = ""
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    graph.ClearField("value_info")


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a tensor is in the file, as what, and which transposition gives the axes of the ONNX file."""

    offset: int
    stored: np.ndarray
    transposed: tuple[int, ...] | None


def _found(tensor: Any, numbers: bytes) -> _Place | None:
    from onnx import numpy_helper

    value = numpy_helper.to_array(tensor)
    for stored, transposed in _forms(value):
        offset = numbers.find(stored.tobytes())
        if offset >= 0:
            return _Place(offset, stored, transposed)
    return None


def _forms(value: np.ndarray) -> Iterable[tuple[np.ndarray, tuple[int, ...] | None]]:
    """What a tensor may be stored as: itself, in float16, and with the axes in TensorFlow's order."""
    yield value, None
    if value.dtype != np.float32 or not np.array_equal(half := value.astype(np.float16), value):
        return
    yield half, None
    axes = _TO_TENSORFLOW.get(value.ndim)
    if axes is not None:
        yield np.ascontiguousarray(half.transpose(axes)), tuple(int(axis) for axis in np.argsort(axes))


def _refer(tensor: Any, place: _Place, location: str) -> list[Any]:
    """Makes the tensor a reference into the shared file; returns the nodes that give what it was."""
    from onnx import TensorProto, external_data_helper, helper

    name, stored = tensor.name, place.stored
    as_it_was = place.transposed is None and stored.dtype != np.float16
    tensor.name = name if as_it_was else f"{name}/stored"
    tensor.data_type = helper.np_dtype_to_tensor_dtype(stored.dtype)
    tensor.ClearField("dims")
    tensor.dims.extend(stored.shape)
    for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        tensor.ClearField(field)
    tensor.raw_data = b""
    external_data_helper.set_external_data(tensor, location, place.offset, stored.nbytes)
    tensor.ClearField("raw_data")
    if as_it_was:
        return []
    if place.transposed is None:
        return [helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT)]
    cast = helper.make_node("Cast", [tensor.name], [f"{name}/cast"], to=TensorProto.FLOAT)
    return [cast, helper.make_node("Transpose", cast.output, [name], perm=place.transposed)]


def _size(tensor: Any) -> int:
    from onnx import helper

    return int(np.prod(tensor.dims)) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
