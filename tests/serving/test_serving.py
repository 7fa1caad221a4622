"""The prediction API over both interfaces, against TensorFlow Serving where there is one, else `synthmed serve`."""

import base64
import shutil
import socket
import threading

import numpy as np
import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra serving")
pytest.importorskip("uvicorn", reason="needs the extra serving")

import grpc
import requests
import tensorflow as tf
from helpers.served import OURS_ONLY, served_artifact
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from synthmed_tf import images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact, warmup
from synthmed_tf.serving.batching import Batcher
from synthmed_tf.serving.client import Client
from synthmed_tf.serving.limits import BATCH_SIZES, Limits
from synthmed_tf.serving.server import Server
from synthmed_tf.serving.status import Refused


@pytest.fixture(scope="module")
def served(tiny_artifact):
    with served_artifact(tiny_artifact) as server:
        yield server


@pytest.fixture(scope="module")
def reference(served):
    """Generates the images themselves, without a server."""
    return artifact.open_artifact(served[2], "savedmodel")


@pytest.fixture(scope="module")
def stub(served):
    with grpc.insecure_channel(served[1]) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def post(served, body, path="/v1/models/synthmed:predict"):
    kind = {"data": body} if isinstance(body, bytes) else {"json": body}
    return requests.post(served[0] + path, timeout=60, **kind)


def request(signature="", **inputs):
    made = predict_pb2.PredictRequest()
    made.model_spec.name = "synthmed"
    made.model_spec.signature_name = signature
    for name, values in inputs.items():
        made.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return made


def same(generated, expected):
    """Within what the artifact promises over batches: one grey level of the image, the mask itself."""
    np.testing.assert_array_equal(generated[0], expected[0])
    assert np.abs(generated[1].astype(int) - expected[1].astype(int)).max() <= 1


def test_rows_and_columns_hold_the_images_of_seed_and_index(served, reference):
    rows = post(served, {"instances": [{"seed": 3, "index": 5}, {"index": 9, "seed": -4}]}).json()["predictions"]
    columns = post(served, {"inputs": {"seed": [3, -4], "index": [5, 9]}}).json()["outputs"]
    expected = reference.pixels(np.array([3, -4]), np.array([5, 9]))
    for name, pixels in zip(("mask_bytes", "image_bytes"), expected, strict=True):
        assert [row[name] for row in rows] == columns[name]
        decoded = [images.decode_png(base64.b64decode(value["b64"])) for value in columns[name]]
        assert np.abs(np.stack(decoded).astype(int) - pixels.astype(int)).max() <= 1


def test_a_single_output_drops_its_name_and_pixels_are_numbers(served, reference):
    mask, _ = reference.pixels(np.array([1]), np.array([2]))
    body = {"signature_name": "translate", "instances": [{"mask": mask[0].tolist(), "seed": 1, "index": 2}]}
    generated = np.array(post(served, body).json()["predictions"])
    expected = reference.translate(mask, np.array([1]), np.array([2]))
    assert generated.shape == expected.shape
    assert np.abs(generated - expected.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error"),
        (b"[1]", "Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": [], "inputs": []}, "expecting only one of 'inputs' or 'instances'"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": [1]}, "instances is a plain list"),
        ({"instances": [{"seed": 1}]}, "keys must be equal to: index,seed"),
        ({"instances": [{"seed": 1, "index": 1, "n": 1}]}, "does not have named input: n"),
        ({"instances": [{"seed": 1, "index": 1.0}]}, "1.0 Type: Number is not of expected type: int64"),
        ({"instances": [{"seed": True, "index": 1}]}, "Type: True is not of expected type: int64"),
        ({"instances": [{"seed": 2**63, "index": 1}]}, "is not of expected type: int64"),
        ({"inputs": {"seed": [1]}}, "Missing named input: index in 'inputs' object."),
        ({"inputs": {"seed": [[1], 2], "index": [1, 2]}}, "level"),
        ({"signature_name": 3, "inputs": {}}, "'signature_name' key must be a string value."),
        ({"signature_name": "x", "inputs": {}}, 'Serving signature name: "x" not found in signature def'),
    ],
)
def test_a_bad_body_is_the_senders_fault(served, body, message):
    answer = post(served, body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


@OURS_ONLY
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": {"seed": [0] * 33, "index": [0] * 33}}, "Task size 33 is larger than maximum input batch size 32"),
        ({"inputs": {"seed": [0], "index": [-1]}}, "Input index holds -1; an index is 0 or more."),
        ({"inputs": {"seed": 1, "index": 1}}, "Input index has shape []; it must be [n]."),
        ({"inputs": {"seed": [1, 2], "index": [1]}}, "must have equal 0th-dimension size"),
        (
            {"signature_name": "translate", "instances": [{"mask": [[[0]]], "seed": 1, "index": 1}]},
            "Input mask has shape [1, 1, 1, 1]; it must be [n, 32, 32, 1].",
        ),
    ],
)
def test_limits_are_told(served, body, message):
    answer = post(served, body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/models/other:predict", 404, "Servable not found for request: Latest(other)"),
        ("/v1/models/synthmed/versions/7:predict", 404, "Servable not found for request: Specific(synthmed, 7)"),
        ("/v1/models/synthmed/labels/best:predict", 400, "Unrecognized servable version label: best"),
        ("/v1/models/synthmed", 400, "Malformed request: POST /v1/models/synthmed"),
        ("/v1/models/synthmed:generate", 400, "Malformed request: POST /v1/models/synthmed:generate"),
    ],
)
def test_a_path_that_names_nothing(served, path, status, message):
    answer = post(served, {"inputs": {"seed": [1], "index": [1]}}, path)
    assert (answer.status_code, answer.json()["error"]) == (status, message)


def test_paths_in_any_case_and_by_version(served):
    body = {"inputs": {"seed": [1], "index": [1]}}
    plain = post(served, body).json()
    assert post(served, body, "/V1/Models/synthmed/VERSIONS/1:predict").json() == plain


def test_status_and_metadata_are_the_same_over_both(served, stub):
    state = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    answer = requests.get(f"{served[0]}/v1/models/synthmed", timeout=60)
    assert answer.json() == {"model_version_status": [state]}
    missing = requests.get(f"{served[0]}/v1/models/other", timeout=60)
    assert (missing.status_code, missing.json()["error"]) == (404, "Could not find any versions of model other")
    metadata = requests.get(f"{served[0]}/v1/models/synthmed/metadata", timeout=60).json()
    assert metadata["model_spec"] == {"name": "synthmed", "signature_name": "", "version": "1"}
    seed = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["seed"]
    assert seed["dtype"] == "DT_INT64"
    assert seed["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = "synthmed"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    stub.GetModelMetadata(asked).metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["serving_default"].inputs["seed"].name == seed["name"]


def test_grpc_generates_and_filters_outputs(stub, reference):
    asked = request("pixels", seed=np.array([3]), index=np.array([5]))
    asked.output_filter.append("mask")
    answer = stub.Predict(asked)
    assert list(answer.outputs) == ["mask"]
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("synthmed", 1)
    assert answer.model_spec.signature_name == "pixels"
    expected = reference.pixels(np.array([3]), np.array([5]))[0]
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["mask"]), expected)


def one():
    return request(seed=np.array([1]), index=np.array([1]))


def unknown_model():
    made = one()
    made.model_spec.name = "other"
    return made


def twice_filtered():
    made = one()
    made.output_filter.extend(["mask_bytes", "mask_bytes"])
    return made


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (unknown_model(), "NOT_FOUND", "Servable not found for request: Latest(other)"),
        (request("x"), "FAILED_PRECONDITION", 'Serving signature key "x" not found.'),
        (twice_filtered(), "INVALID_ARGUMENT", "duplicate output tensor alias: mask_bytes"),
        (request(seed=np.array([1])), "INVALID_ARGUMENT", "Missing but required: {index}."),
    ],
)
def test_grpc_errors(stub, asked, code, message):
    with pytest.raises(grpc.RpcError) as raised:
        stub.Predict(asked)
    assert raised.value.code().name == code
    assert message in raised.value.details()


@OURS_ONLY
def test_a_tensor_that_claims_more_than_it_holds_takes_no_memory(stub):
    asked = one()
    asked.inputs["seed"].tensor_shape.dim[0].size = 2**40
    asked.inputs["index"].tensor_shape.dim[0].size = 2**40
    with pytest.raises(grpc.RpcError) as raised:
        stub.Predict(asked)
    assert raised.value.code().name == "INVALID_ARGUMENT"
    assert "is larger than maximum input batch size" in raised.value.details()


@OURS_ONLY
def test_bytes_that_are_no_message_are_the_senders_fault(served):
    with grpc.insecure_channel(served[1]) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with pytest.raises(grpc.RpcError) as raised:
            call(b"\xff\xff\xff")
    assert raised.value.code().name == "INVALID_ARGUMENT"


def test_metadata_field_rules_and_grpc_status(served, stub):
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["Signature_def"])
    asked.model_spec.name = "synthmed"
    with pytest.raises(grpc.RpcError) as raised:
        stub.GetModelMetadata(asked)
    assert raised.value.code().name == "INVALID_ARGUMENT"
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "synthmed"
    with grpc.insecure_channel(served[1]) as channel:
        answer = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status)
    assert [(version.version, version.state) for version in answer.model_version_status] == [(1, 30)]


def test_the_client_generates_the_same_over_both(served, reference):
    seed, index = np.full(5, 8), np.arange(5)
    with Client(served[0], batch_size=2) as rest, Client(f"grpc://{served[1]}", batch_size=3) as other:
        same(rest.pixels(seed, index), reference.pixels(seed, index))
        same(other.pixels(seed, index), reference.pixels(seed, index))
        assert [pair[0] for pair in other.pairs(4, seed=8, first_index=1)] == [1, 2, 3, 4]
        with pytest.raises(SynthMedError, match="an index 0 or more"):
            rest.png(np.array([1]), np.array([-1]))


@OURS_ONLY
def test_many_clients_at_once_each_get_their_own(served, reference):
    wrong = []

    def ask(number):
        rng = np.random.default_rng(number)
        with Client(served[0] if number % 2 else f"grpc://{served[1]}") as client:
            for _ in range(4):
                seed, index = rng.integers(0, 3, 4), rng.integers(0, 8, 4)
                for s, i, mask, image in zip(seed, index, *client.pixels(seed, index), strict=True):
                    near = np.abs(image.astype(int) - expected[s, i][1]).max() <= 1
                    if not (near and (mask == expected[s, i][0]).all()):
                        wrong.append((s, i))

    expected = {}
    for s in range(3):
        masks, images = reference.pixels(np.full(8, s), np.arange(8))
        expected |= {(s, i): (masks[i], images[i].astype(int)) for i in range(8)}
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_queue_is_bounded_and_a_bad_row_costs_its_own_request_alone():
    started, release = threading.Event(), threading.Event()

    def run(signature, inputs):
        started.set()
        release.wait()
        if (inputs["x"] == 13).any():
            raise Refused("INVALID_ARGUMENT", "13")
        return {"y": inputs["x"] * 2}

    batcher = Batcher(run, Limits(rows=8, queue=3))
    answers = {}

    def ask(value):
        try:
            answers[value] = batcher.generate("s", {"x": np.array([value])}, 1e6)["y"].tolist()
        except Refused as error:
            answers[value] = error.code

    threads = [threading.Thread(target=ask, args=(value,)) for value in (1, 2, 13, 3)]
    threads[0].start()
    started.wait()
    for thread in threads[1:]:
        thread.start()
    while batcher.waiting < 3:
        threads[1].join(0.001)
    with pytest.raises(Refused, match="queue to which this task was submitted is full"):
        batcher.generate("s", {"x": np.array([4])}, 1e6)
    release.set()
    for thread in threads:
        thread.join()
    batcher.stop()
    assert answers == {1: [2], 2: [4], 13: "INVALID_ARGUMENT", 3: [6]}


def test_a_port_in_use_and_a_server_that_is_gone(tiny_artifact):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SynthMedError, match=f"Port {port} of 127.0.0.1 .*--rest-port"):
            Server(tiny_artifact, rest_port=port)
        with pytest.raises(SynthMedError, match=f"Port {port} of 127.0.0.1 .*--grpc-port"):
            Server(tiny_artifact, grpc_port=port)
    with Server(tiny_artifact) as server:
        clients = [
            Client(f"http://127.0.0.1:{server.rest_port}", retries=1),
            Client(f"grpc://127.0.0.1:{server.grpc_port}", retries=1),
        ]
    for client in clients:
        with client, pytest.raises(SynthMedError, match="did not answer .* after 0 of 1 pairs: .*try again"):
            client.png(np.array([1]), np.array([1]))


def test_an_artifact_without_its_savedmodel(tiny_artifact, tmp_path):
    (tmp_path / "card.json").write_bytes((tiny_artifact / "card.json").read_bytes())
    with pytest.raises(SynthMedError, match="holds no SavedModel"):
        Server(tmp_path)


def test_an_artifact_that_is_not_what_its_card_lists(tiny_artifact, tmp_path):
    shutil.copytree(tiny_artifact, tmp_path / "model")
    with open(tmp_path / "model" / artifact.SAVEDMODEL / "saved_model.pb", "ab") as file:
        file.write(b"x")
    with pytest.raises(SynthMedError, match="saved_model.pb is not the file that card.json lists"):
        Server(tmp_path / "model")


def test_warm_up_requests_are_what_the_official_classes_read(tiny_artifact):
    file = tiny_artifact / artifact.SAVEDMODEL / warmup.FILE
    logs = [prediction_log_pb2.PredictionLog.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(file))]
    assert [log.WhichOneof("log_type") for log in logs] == ["predict_log"] * len(BATCH_SIZES)
    asked = [log.predict_log.request for log in logs]
    assert {(r.model_spec.name, r.model_spec.signature_name) for r in asked} == {("synthmed", "serving_default")}
    for rows, each in zip(BATCH_SIZES, asked, strict=True):
        assert tf.make_ndarray(each.inputs["index"]).tolist() == list(range(rows))
        assert tf.make_ndarray(each.inputs["seed"]).tolist() == [0] * rows
