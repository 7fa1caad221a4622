"""Generates shards on Spark: a partition for each shard, which Spark runs on any executor and retries."""

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pyspark.sql import SparkSession

from synthmed_tf.generation.engines.work import Work
from synthmed_tf.generation.part import Progress

PARTITIONS = 100_000
"""At most; a job of more is slow to schedule. With more shards a partition has several."""


def run(work: Work, numbers: Sequence[int], options: Mapping[str, str], progress: Progress) -> None:
    """Generates shards, and returns when all are whole.

    Args:
        work: what is done for each element.
        numbers: of the shards.
        options: of Spark's configuration, such as `spark.master`. Without them those of `spark-submit` or
            `spark-defaults.conf` hold.
        progress: not called; Spark shows its own.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # otherwise Spark takes what is called python3
    ours = SparkSession.getActiveSession() is None
    session = SparkSession.builder.appName("synthmed generate").config(map=dict(options)).getOrCreate()
    try:
        _run(session, work, numbers)
    finally:
        if ours:
            session.stop()


def _run(session: SparkSession, work: Work, numbers: Sequence[int]) -> None:
    context = session.sparkContext
    shards = context.parallelize(numbers, min(len(numbers), PARTITIONS)).map(work)
    # In a thread, since each has its own connection to Java: after Ctrl-C this one's is free to cancel the job.
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(shards.count)
        try:
            job.result()
        except (KeyboardInterrupt, SystemExit):
            context.cancelAllJobs()
            raise
