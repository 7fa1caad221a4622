"""Small repositories with real entries for tests: sets of random images, published as they would be."""

import json
import shutil
import struct
import zlib
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import onnx
from tuf.api.metadata import Metadata, MetaFile, TargetFile

from synthmed_tf.exporting.model_card import write_card
from synthmed_tf.generation import set_card
from synthmed_tf.generation.formats import png
from synthmed_tf.generation.formats.base import Pair
from synthmed_tf.repository import keys
from synthmed_tf.repository.publish import building, new_repository, publishing
from synthmed_tf.repository.signed_metadata import Chain

PUBLISHED = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
MODEL = "ab" * 32
SIZE, COUNT, SEED = 32, 3, 7


def generated_set(folder: Path, count: int = COUNT, size: int = SIZE, seed: int = SEED, model: str = MODEL) -> Path:
    """Writes a set as `synthmed generate` leaves one; the images are random, indices 0 to count - 1."""
    facts = {"source": "eyes", "layout": "plain", "pairs": 5, "patients": 3, "size": size, "sha256": "cd" * 32}
    card = {"kind": set_card.KIND, "model_sha256": model, "precision": "float32", "seed": seed, "size": size}
    card |= {
        "synthetic": True,
        "license": "CC BY 4.0",
        "data": {"stage1": facts, "stage2": facts},
        "evaluation": "not evaluated",
        "made_with": "a test",
    }
    for name in png.FOLDERS:
        (folder / name).mkdir(parents=True)
    (folder / set_card.FILE).write_text(json.dumps(card))
    lines = []
    for index in range(count):
        line, contents = png.encode(Pair(index, *pair(index, size, seed)), seed, model)
        lines.append(json.dumps(line) + "\n")
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    (folder / "manifest.jsonl").write_text("".join(lines))
    return folder


def pair(index: int, size: int = SIZE, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """The mask `(size, size, 1)` and the image `(size, size, 3)` of a pair, uint8."""
    random = np.random.default_rng([seed, index])
    mask = np.where(random.random((size, size, 1)) < 0.2, 255, 0).astype(np.uint8)
    return mask, random.integers(0, 256, (size, size, 3), np.uint8)


def artifact(folder: Path) -> Path:
    """Writes an artifact with the files of a real one, which generates nothing."""
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["n"]) for name in ("seed", "mask")]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["seed"], ["mask"])], "nothing", *([v] for v in value)
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    saved = folder / "savedmodel" / "1"
    (saved / "variables").mkdir(parents=True)
    (folder / "generator.onnx").write_bytes(model.SerializeToString())
    (saved / "saved_model.pb").write_bytes(b"\x08\x01\x12\x08Identity")
    (saved / "variables" / "variables.index").write_bytes(bytes(48))
    (saved / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(range(1, 200)))
    (folder / "parity.json").write_text("{}")
    card = {"kind": "generator", "name": "nothing", "model_sha256": MODEL, "size": SIZE, "license": "CC BY 4.0"}
    card |= {
        "evaluation": "not evaluated",
        "created": "2026-11-25",
        "versions": {},
        "data": {},
        "steps": {},
        "parity": {},
    }
    write_card(folder, card)
    return folder


def black_png(side: int) -> bytes:
    """A small PNG file that unpacks to a black image of `side` pixels a side."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(side + 1)) for _ in range(side)) + rows.flush()
    chunks = ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def request(generated: Path, name: str = "phantom", version: str = "1.0.0", **fields) -> building.Request:
    """What is published of a set."""
    said = {"title": "Phantoms", "license": "CC-BY-4.0", "creators": ("A. Tester",), "published": PUBLISHED}
    return building.Request(set=generated, name=name, version=version, **(said | fields))


def make(folder: Path, *versions: str, **fields) -> Path:
    """A folder with the repository `repo`, its `keys`, and the set `generated` published as each of `name@version`."""
    new_repository.init(folder / "repo", folder / "keys", "A repository")
    generated_set(folder / "generated")
    for version in versions:
        publish(folder, version, **fields)
    return folder / "repo"


def publish(folder: Path, name_and_version: str, **fields) -> None:
    """Publishes the set again, as another version."""
    name, version = name_and_version.split("@")
    publishing.publish(folder / "repo", folder / "keys", request(folder / "generated", name, version, **fields))


def copied(made: Path, folder: Path) -> Path:
    """A copy of what `make` made, to change; gives its `repo`."""
    shutil.copytree(made, folder)
    return folder / "repo"


def sign_again(repository: Path, name: str, change=lambda targets: None) -> None:
    """Signs a version's role for what lies in its folder now, as a publisher who means harm could.

    Args:
        repository: with its keys next to it.
        name: such as `phantom@1.0.0`.
        change: may change the signed `Targets` of the version.
    """
    chain = Chain.read(repository)
    signers = keys.read(repository.parent / "keys", keys.ONLINE, chain.root.signed)
    targets, place = repository / "targets", Path(*name.split("@"))
    there = [path for path in sorted((targets / place).rglob("*")) if path.is_file() and not path.is_symlink()]
    announced = {}
    for path in there:
        target = path.relative_to(targets).as_posix()
        announced[target] = TargetFile.from_file(target, str(path), ["sha256"])
    role = chain.delegate(name, announced, signers)
    change(role.signed)
    chain.commit(signers, {name: role, "targets": chain.targets})


def metadata(repository: Path, name: str) -> Path:
    """The newest file of a role."""
    if name == "timestamp":
        return repository / "metadata" / "timestamp.json"
    numbered = repository.glob(f"metadata/*.{name}.json")
    return max(numbered, key=lambda path: int(path.name.split(".")[0]))


def resign(repository: Path, name: str, change) -> None:
    """Changes a top-level role's metadata and signs it with its key, and those that name it."""
    path = metadata(repository, name)
    role = Metadata.from_bytes(path.read_bytes())
    change(role.signed)
    role.sign(keys.load(keys.place(repository.parent / "keys", name)))
    path.write_bytes(role.to_bytes())
    if name == "targets":
        meta = MetaFile.from_data(role.signed.version, path.read_bytes(), ["sha256"])
        resign(repository, "snapshot", lambda signed: signed.meta.update({"targets.json": meta}))
    if name == "snapshot":
        meta = MetaFile.from_data(role.signed.version, path.read_bytes(), ["sha256"])
        resign(repository, "timestamp", lambda signed: setattr(signed, "snapshot_meta", meta))
