"""Generates shards on Apache Beam, with any of its runners: Flink, Dataflow, Spark, or one machine.

An element is the number of a shard. So images never travel between the workers, and files do not depend on the worker;
with one element a pair both would be lost.
"""

from collections.abc import Mapping, Sequence

import apache_beam
from apache_beam.options.pipeline_options import PipelineOptions

from synthmed_tf.generation.engines.work import Work
from synthmed_tf.generation.part import Progress


def run(work: Work, numbers: Sequence[int], options: Mapping[str, str], progress: Progress) -> None:
    """Generates shards, and returns when all are whole.

    Args:
        work: what is done for each element.
        numbers: of the shards.
        options: of the pipeline, as on Beam's command line without the dashes: `runner`, and those of the runner.
        progress: not called; each runner shows its own.
    """
    arguments = [f"--{name}={value}" for name, value in options.items()]
    with apache_beam.Pipeline(options=PipelineOptions(arguments)) as pipeline:
        (
            pipeline
            | "shards" >> apache_beam.Create(numbers)
            | "spread" >> apache_beam.Reshuffle()
            | "generate" >> apache_beam.Map(work)
        )
