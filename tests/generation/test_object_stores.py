"""Sets, models, reports and training data in object stores: real clients and servers, over TCP on this machine."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import published
from helpers.object_stores import SECRET, free_port, store_of, why_not
from helpers.paths import ENVIRONMENT
from helpers.tcp_proxy import TcpProxy

import synthmed_tf as sm
from synthmed_tf import files, local_copies, stores
from synthmed_tf.cli.main import main
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.artifact import ONNX
from synthmed_tf.generation.verification import verify
from synthmed_tf.serving.client import Client

pytestmark = pytest.mark.slow
COUNT, SHARDS = 12, 4


@pytest.fixture(scope="module", params=stores.SCHEMES)
def store(request, tmp_path_factory):
    """A store of each kind that is installed."""
    if reason := why_not(request.param):
        pytest.skip(reason)
    with store_of(request.param, tmp_path_factory.mktemp("store")) as started:
        yield started


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory):
    """S3 that is reached through a proxy."""
    if reason := why_not("s3"):
        pytest.skip(reason)
    port = free_port()
    with store_of("s3", tmp_path_factory.mktemp("store"), port) as started:
        proxy = TcpProxy(started.port, port)
        yield started, proxy
        proxy.close()


@pytest.fixture(scope="module")
def on_disk(tiny_artifact, tmp_path_factory):
    """The same sets on this disk, by their format."""
    out = tmp_path_factory.mktemp("sets")
    for form in ("webdataset", "png"):
        _generate(tiny_artifact / ONNX, out / form, form)
    return out


@pytest.fixture(autouse=True)
def environment(request, monkeypatch, tmp_path):
    """Of the store that a test uses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("store", "behind_a_proxy"):
        if name in request.fixturenames:
            found = request.getfixturevalue(name)
            started = found if name == "store" else found[0]
            for key, value in started.environment.items():
                monkeypatch.setenv(key, value)
            # fsspec keeps what it found in another environment.
            stores.place(f"{started.address}/any").fs.clear_instance_cache()


def _generate(model, out, form="webdataset", **options) -> int:
    return sm.generate_set(str(model), str(out), COUNT, seed=3, format=form, shards=SHARDS, **options).generated


def _run(*arguments: str):
    return CliRunner().invoke(main, arguments)


def _contents(folder) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files.walk(folder)}


@pytest.mark.parametrize("form", ["webdataset", "png"])
def test_a_set_in_a_store_has_the_bytes_of_one_on_a_disk(form, store, on_disk, tiny_artifact):
    out = stores.place(f"{store.address}/sets/{form}")
    assert _generate(tiny_artifact / ONNX, out, form) == COUNT
    assert _contents(out) == _contents(on_disk / form)
    found = verify(str(out))
    assert found.problems == () and found.good == len(_contents(out)) - 1  # the card is not checked
    assert _generate(tiny_artifact / ONNX, out, form) == 0

    damaged, lost = sorted(name for name in files.walk(out) if name.endswith((".tar", "0000001.png")))[:2]
    stores.put_bytes(out / damaged, b"x" * len((out / damaged).read_bytes()))
    stores.remove_files([out / lost])
    assert {(each.path, each.problem) for each in verify(str(out)).problems} == {
        (damaged, "has changed"),
        (lost, "is missing"),
    }
    assert 0 < _generate(tiny_artifact / ONNX, out, form, repair=True) < COUNT
    assert _contents(out) == _contents(on_disk / form)


def test_another_set_is_refused(store, tiny_artifact):
    out = f"{store.address}/sets/other"
    _generate(tiny_artifact / ONNX, out)
    with pytest.raises(SynthMedError, match=f"{out} holds a set with seed 3, not 4"):
        sm.generate_set(str(tiny_artifact / ONNX), out, COUNT, seed=4, format="webdataset", shards=SHARDS)
    with pytest.raises(SynthMedError, match="has at least one shard"):
        sm.generate_set(str(tiny_artifact / ONNX), out, COUNT, shards=0)


def test_a_plain_set_is_cut_into_shards(store, tiny_artifact):
    out = stores.place(f"{store.address}/sets/plain")
    sm.generate_set(str(tiny_artifact / ONNX), str(out), 3)
    assert "shards/00000-of-00001.jsonl" in set(files.walk(out)) and verify(str(out)).problems == ()


def test_a_model_comes_from_a_store(store, tiny_artifact, on_disk, tmp_path):
    model = stores.place(f"{store.address}/models/one")
    stores.put_files((tiny_artifact / name, model / name) for name in files.walk(tiny_artifact))
    _generate(model / ONNX, tmp_path / "set")
    assert _contents(tmp_path / "set") == _contents(on_disk / "webdataset")
    assert sm.load(str(model), runtime="onnx").card == sm.load(str(tiny_artifact), runtime="onnx").card


def test_only_what_changed_is_fetched_again(store, phantoms):
    data = stores.place(f"{store.address}/data/eyes")
    stores.put_files((phantoms / name, data / name) for name in files.walk(phantoms))

    def fetched() -> list[int]:
        counts = [0]
        copy = local_copies.local_copy(str(data), lambda done, total: counts.append(done))
        assert _contents(copy) == _contents(data) and copy.name == "eyes"
        return counts

    count = len(_contents(phantoms))
    assert fetched()[-1] == count and fetched() == [0]
    first, second = sorted(_contents(phantoms))[:2]
    stores.put_bytes(data / first, b"changed")
    stores.remove_files([data / second])
    assert fetched() == [0, 1]


@pytest.mark.parametrize("name", ["images/..", "images/a/b"])
def test_a_path_that_cannot_be_on_a_disk_is_refused(name, store):
    if name == "images/.." and store.address.startswith("abfs"):
        pytest.skip("Azure takes no such name")
    data = stores.place(f"{store.address}/data/{name.count('.')}")
    for key in (f"{data.path}/images/a", f"{data.path}/{name}"):
        data.fs.pipe_file(key, b"x")
    with pytest.raises(SynthMedError, match=f"holds the object '{re.escape(name)}', which cannot be a file on a disk"):
        local_copies.local_copy(str(data))


def test_a_folder_that_is_not_there(store):
    with pytest.raises(SynthMedError, match="is not there, or has no files; correct the address"):
        local_copies.local_copy(f"{store.address}/nothing")
    with pytest.raises(SynthMedError, match="There is no folder"):
        verify(f"{store.address}/nothing")


def test_training_data_come_from_a_store(store, phantoms, tmp_path):
    data = stores.place(f"{store.address}/data/train")
    stores.put_files((phantoms / name, data / name) for name in files.walk(phantoms))
    options = {"stage1.steps": 2, "stage1.filters": 4, "stage1.discriminator_filters": 4}
    runs = [
        sm.train(str(source), tmp_path / name, stage="stage1", preset="demo", size=32, overrides=options, say=str)
        for name, source in (("near", phantoms), ("far", data))
    ]
    near, far = ((run / "data.json").read_text() for run in runs)
    assert far.replace('"source": "train"', '"source": "set"') == near
    assert SECRET not in far and store.address not in far


def test_a_report_goes_into_a_store(store, on_disk, phantoms):
    places = {name: stores.place(f"{store.address}/evaluated/{name}") for name in ("set", "real", "report")}
    for name, folder in (("set", on_disk / "png"), ("real", phantoms)):
        stores.put_files((folder / file, places[name] / file) for file in files.walk(folder))
    names = {name: str(place) for name, place in places.items()}
    report = sm.evaluate(names["set"], real=names["real"], out=names["report"], only=["geometry"], quick=True)
    there = _contents(places["report"])
    assert {"report.json", "report.html", "pairs.jsonl"} <= set(there)
    assert report.model_dump_json(indent=2).encode() in there["report.json"] + b"\n"
    assert not any(SECRET.encode() in content for content in there.values())


def test_a_repository_in_a_store_is_searched_downloaded_and_loaded(store, tmp_path):
    made, source = published.make(tmp_path, "phantom@1.0.0"), stores.place(f"{store.address}/repository")
    stores.put_files((made / name, source / name) for name in files.walk(made))
    found = _run("search", "phantom", "--from", str(source))
    assert (found.exit_code, "phantom" in found.stdout, "1.0.0" in found.stdout) == (0, True, True), found.output

    out = tmp_path / "out"
    download = ("download", "phantom", "--from", str(source), "--out", str(out))
    done = _run(*download)
    assert done.exit_code == 0 and "phantom@1.0.0 is in" in done.stdout, done.output
    there, signed = _contents(out), _contents(made / "targets" / "phantom" / "1.0.0")
    assert there.items() <= signed.items() and any(name.endswith(".zip") for name in there)
    (out / "card.json").write_bytes(b"{}")
    again = _run(*download)
    assert again.exit_code == 0 and "(1 fetched now" in again.stdout and _contents(out) == there, again.output

    dataset, card = sm.load_dataset("phantom", source=str(source), cache=tmp_path / "loaded")
    assert (card.name, card.version) == ("phantom", "1.0.0")
    pairs = list(dataset.as_numpy_iterator())
    assert len(pairs) == published.COUNT
    for index, (image, mask) in enumerate(pairs):
        expected_mask, expected_image = published.pair(index)
        np.testing.assert_array_equal(image, expected_image)
        np.testing.assert_array_equal(mask, expected_mask)
    missing = _run("search", "--from", f"{store.address}/nothing")
    assert missing.exit_code == 2 and f"{store.address}/nothing" in missing.output, missing.output


def test_a_server_takes_its_model_from_a_store(store, tiny_artifact):
    model = stores.place(f"{store.address}/models/served")
    stores.put_files((tiny_artifact / name, model / name) for name in files.walk(tiny_artifact))
    expected = sm.load(str(tiny_artifact)).generate(seed=3, index=range(2))
    command = [sys.executable, "-m", "synthmed_tf", "serve", "--model", str(model), "--port", "0", "--grpc-port", "0"]
    environment = os.environ | {"PYTHONPATH": ENVIRONMENT["PYTHONPATH"]}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = re.search(r"REST on (http://[^/]+)/", server.stdout.readline())[1]
            with Client(url) as client:
                masks, images = client.pixels([3, 3], [0, 1])
        finally:
            server.terminate()
        assert server.wait(60) == 0
    np.testing.assert_array_equal(masks, expected.mask)
    np.testing.assert_allclose(images.astype(int), expected.image, atol=1)


def test_a_command_names_the_store_that_has_no_model(store):
    for command in (["serve", "--port", "0", "--grpc-port", "0"], ["generate", "-n", "1", "--out", "set"]):
        ran = _run(*command, "--model", f"{store.address}/models/none")
        said = f"{store.address}/models/none is not there, or has no files; correct the address."
        assert (ran.exit_code, said in ran.output) == (2, True), ran.output


def test_cut_connections_change_nothing(behind_a_proxy, on_disk, tiny_artifact):
    started, proxy = behind_a_proxy
    out = stores.place(f"{started.address}/sets/cut")
    proxy.cuts, proxy.cut = 6, 0
    assert _generate(tiny_artifact / ONNX, out) == COUNT
    assert proxy.cut == 6
    proxy.cuts = 3
    assert _contents(out) == _contents(on_disk / "webdataset") and verify(str(out)).problems == ()


def test_a_slow_connection_changes_nothing(behind_a_proxy, on_disk, tiny_artifact):
    started, proxy = behind_a_proxy
    out = stores.place(f"{started.address}/sets/slow")
    proxy.cuts, proxy.pause = 0, 0.05
    try:
        assert _generate(tiny_artifact / ONNX, out) == COUNT
    finally:
        proxy.pause = 0.0
    assert _contents(out) == _contents(on_disk / "webdataset")


def test_a_killed_process_leaves_whole_shards_only(behind_a_proxy, on_disk, tiny_artifact):
    started, proxy = behind_a_proxy
    out = stores.place(f"{started.address}/sets/killed")
    command = [sys.executable, "-m", "synthmed_tf", "generate", "--model", str(tiny_artifact / ONNX), "-n", str(COUNT)]
    command += ["--seed", "3", "--format", "webdataset", "--shards", str(SHARDS), "--out", str(out)]
    proxy.pause = 0.3
    process = subprocess.Popen(command, env=ENVIRONMENT | started.environment, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 300
    while not any(name.startswith("shards/") for name in files.walk(out)):
        assert process.poll() is None and time.monotonic() < until, process.stderr.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    proxy.pause = 0.0
    expected, found = _contents(on_disk / "webdataset"), _contents(out)
    assert 0 < sum(name.startswith("shards/") for name in found) < SHARDS, sorted(found)
    assert all(expected[name] == content for name, content in found.items())
    assert {each.problem for each in verify(str(out)).problems} <= {"is missing", "does not belong to the set"}
    assert 0 < _generate(tiny_artifact / ONNX, out) < COUNT
    assert _contents(out) == expected and verify(str(out)).problems == ()


@pytest.mark.parametrize("what", ["refused", "denied"])
def test_a_store_that_cannot_be_reached_is_a_sentence(what, behind_a_proxy, tiny_artifact, monkeypatch):
    started, _ = behind_a_proxy
    address = f"{started.address}/sets/new"
    if what == "refused":
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    else:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("HOME", os.environ["XDG_CACHE_HOME"])
    command = [sys.executable, "-m", "synthmed_tf"]
    environment = os.environ | {"PYTHONPATH": ENVIRONMENT["PYTHONPATH"]}
    generate = ["generate", "--model", str(tiny_artifact / ONNX), "-n", "2", "--out", address]
    for arguments in (generate, ["verify", address], ["search", "--from", address]):
        ran = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=300)
        assert ran.returncode == 2 and "Traceback" not in ran.stderr, ran.stderr
        assert address in ran.stderr and "check the address, the connection and the credentials" in ran.stderr
        assert SECRET not in ran.stderr
