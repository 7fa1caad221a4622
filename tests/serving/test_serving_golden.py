"""What a client gets to see, word for word: `golden/serving_rest.json` and `golden/serving_grpc.json`.

A case is what is sent and what comes back, of a model of 32 pixels.
"""

import json

import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra serving")
pytest.importorskip("uvicorn", reason="needs the extra serving")

import grpc
import requests
from google.protobuf import json_format, text_format
from helpers.paths import TESTS
from helpers.served import served_artifact
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

_GOLDEN = TESTS / "golden"
_PREDICTION = prediction_service_pb2_grpc.PredictionServiceStub
_RPCS = {
    "Predict": (predict_pb2.PredictRequest, _PREDICTION),
    "GetModelMetadata": (get_model_metadata_pb2.GetModelMetadataRequest, _PREDICTION),
    "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, model_service_pb2_grpc.ModelServiceStub),
}


def cases(interface: str) -> list:
    read = json.loads((_GOLDEN / f"serving_{interface}.json").read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["name"]) for case in read]


@pytest.fixture(scope="module")
def served(tiny_artifact):
    with served_artifact(tiny_artifact) as server:
        yield server


@pytest.mark.parametrize("case", cases("rest"))
def test_rest(served, case):
    body = case.get("body")
    sent = {} if body is None else {"data": body} if isinstance(body, str) else {"json": body}
    answer = requests.request(case["method"], served.url + case["path"], timeout=60, **sent)
    assert (answer.status_code, answer.json()) == (case["status"], case["reply"])


@pytest.mark.parametrize("case", cases("grpc"))
def test_grpc(served, case):
    kind, stub = _RPCS[case["rpc"]]
    asked = text_format.Parse(case["request"], kind())
    with grpc.insecure_channel(served.grpc) as channel:
        try:
            reply = getattr(stub(channel), case["rpc"])(asked)
            found = {"code": "OK", "reply": json_format.MessageToDict(reply, preserving_proto_field_name=True)}
        except grpc.RpcError as error:
            found = {"code": error.code().name, "message": error.details()}
    assert found == {key: case[key] for key in case.keys() - {"name", "rpc", "request"}}
