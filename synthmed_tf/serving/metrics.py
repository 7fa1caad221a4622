"""Prometheus metrics, under TensorFlow Serving's names where it has the same metric."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from synthmed_tf.serving.limits import BATCH_SIZES
from synthmed_tf.serving.status import Refused

PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MICROSECONDS = tuple(1000.0 * 2**i for i in range(16))


class Metrics:
    """The metrics of one server."""

    def __init__(self, model_name: str, waiting: Callable[[], int]):
        """Creates the metrics in a registry of their own.

        Args:
            model_name: the label of the metrics that TensorFlow Serving labels with the model.
            waiting: returns the number of rows in the queue.
        """
        self._registry = CollectorRegistry()
        self._model_name = model_name
        # A gauge: prometheus_client appends `_total` to the name of a counter, which TensorFlow Serving does not.
        self._requests = Gauge(
            ":tensorflow:serving:request_count",
            "Predictions by the code of their answer.",
            ["model_name", "status"],
            registry=self._registry,
        )
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Microseconds from a prediction's inputs to its outputs.",
            ["model_name", "API", "entrypoint"],
            buckets=_MICROSECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "synthmed_serving_batch_rows", "Rows generated at once.", buckets=BATCH_SIZES, registry=self._registry
        )
        self._rows = Counter("synthmed_serving_rows", "Rows generated.", registry=self._registry)
        queue = Gauge("synthmed_serving_queue_rows", "Rows that wait to be generated.", registry=self._registry)
        queue.set_function(waiting)

    def batch(self, rows: int) -> None:
        """Counts a batch."""
        self._batches.observe(rows)
        self._rows.inc(rows)

    @contextmanager
    def prediction(self, entrypoint: str) -> Iterator[None]:
        """Counts and times a prediction, which runs inside the context; `entrypoint` is `REST` or `GRPC`."""
        start, status = time.perf_counter(), "OK"
        try:
            yield
        except Refused as error:
            status = error.code
            raise
        except Exception:
            status = "INTERNAL"
            raise
        finally:
            self._requests.labels(self._model_name, status).inc()
            microseconds = (time.perf_counter() - start) * 1e6
            self._latency.labels(self._model_name, "Predict", entrypoint).observe(microseconds)

    def page(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)
