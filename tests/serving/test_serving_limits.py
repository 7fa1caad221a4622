"""What `synthmed serve` takes on and no more; health and metrics; what its client does about answers that are none."""

import http.client
import http.server
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra serving")
pytest.importorskip("uvicorn", reason="needs the extra serving")

import requests

from synthmed_tf.errors import SynthMedError
from synthmed_tf.serving.client import Client
from synthmed_tf.serving.limits import Limits
from synthmed_tf.serving.server import Server

ROW = {"seed": 0, "index": 1}


def _url(server):
    return f"http://127.0.0.1:{server.rest_port}"


def _ask(server, count=1):
    body = {"instances": [ROW] * count}
    return requests.post(f"{_url(server)}/v1/models/synthmed:predict", json=body, timeout=60)


@pytest.fixture(scope="module")
def tight(tiny_artifact):
    with Server(tiny_artifact, limits=Limits(rows=4, queue=4, requests=1, body_bytes=400)) as server:
        assert _ask(server).status_code == 200
        yield server


def test_too_many_rows_and_too_large_a_body(tight):
    assert _ask(tight, 5).status_code == 400
    answer = _ask(tight, 40)
    assert answer.status_code == 413 and "400" in answer.json()["error"]


def test_too_many_at_once_are_told_to_come_again(tight):
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda _: _ask(tight, 4).status_code, range(64)))
    assert set(codes) == {200, 429}


def test_a_request_that_waits_too_long_for_the_model(tiny_artifact, monkeypatch):
    with Server(tiny_artifact, limits=Limits(seconds=2)) as server:
        batcher, free = server.service._batcher, threading.Event()
        run = batcher._run
        monkeypatch.setattr(batcher, "_run", lambda *batch: free.wait() and run(*batch))
        answer = _ask(server)
        free.set()
    assert (answer.status_code, answer.json()) == (504, {"error": "Timed out waiting for notification"})


def test_a_body_that_comes_too_slowly(tiny_artifact):
    with Server(tiny_artifact, limits=Limits(seconds=0.2)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=60)
        connection.putrequest("POST", "/v1/models/synthmed:predict")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b"{")
        answer = connection.getresponse()
        answered = (answer.status, json.load(answer))
        connection.close()
    assert answered == (504, {"error": "Timed out while reading the request's body"})


def test_health_and_metrics(tight):
    assert requests.get(f"{_url(tight)}/healthz", timeout=10).text == "ok\n"

    def count():
        page = requests.get(f"{_url(tight)}/monitoring/prometheus/metrics", timeout=10).text
        counts = [one for one in page.splitlines() if one.startswith(":tensorflow:serving:request_count{")]
        [line] = [one for one in counts if '"OK"' in one]
        assert 'model_name="synthmed"' in line
        return float(line.rsplit(" ", 1)[1])

    before = count()
    assert _ask(tight).status_code == 200
    assert count() == before + 1


class _Scripted:
    """An HTTP server that answers as it is told, and counts."""

    def __init__(self, *answers):
        self.asked, answers = 0, list(answers)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                status, body = answers.pop(0) if len(answers) > 1 else answers[0]
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()


def test_the_client_names_a_model_that_is_not_ours():
    other = {"metadata": {"signature_def": {"signature_def": {"serving_default": {"inputs": {}, "outputs": {}}}}}}
    with _Scripted((200, other)) as server, pytest.raises(SynthMedError, match="is not a model of synthmed"):
        Client(server.url)


@pytest.mark.parametrize(("status", "asked"), [(503, 3), (429, 3), (404, 1), (400, 1)])
def test_the_client_asks_again_only_where_that_can_help(status, asked):
    with _Scripted((status, {"error": "as told"})) as server:
        with pytest.raises(SynthMedError, match="as told"):
            Client(server.url, retries=2)
        assert server.asked == asked


def test_the_client_goes_on_where_the_server_comes_back(tight):
    metadata = requests.get(f"{_url(tight)}/v1/models/synthmed/metadata", timeout=10).json()
    with _Scripted((503, {"error": "busy"}), (200, metadata)) as server:
        Client(server.url, retries=1).close()
        assert server.asked == 2
