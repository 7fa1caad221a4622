"""Generates the shards of a set on a cluster, with Apache Beam and any runner (Flink, Spark, Dataflow, or one machine).

An element is the number of a shard, and inference generates and writes that shard. So images never travel between the
workers, and files do not depend on the worker; with one element a pair both would be lost. The workers need the
artifact and the folder of the set under the same paths.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import apache_beam
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from synthmed_tf import files, stores
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.artifact import Artifact, Runtime, open_artifact
from synthmed_tf.generation import set_card, shards, stream
from synthmed_tf.generation.plan import Plan


class ShardHandler(ModelHandler[int, int, Artifact]):  # type: ignore[misc]  # Beam has no types
    """Opens the artifact once in each process, and generates the shards that the process receives.

    Attributes:
        model: the folder of the artifact.
        plan: of the set.
        out: the folder of the set, with its card.
        workers: threads of each process that encode and write.
    """

    def __init__(self, model: str | Path, plan: Plan, out: str | Path, workers: int = stream.WORKERS):
        super().__init__(min_batch_size=1, max_batch_size=1)
        self.model = str(model)
        self.plan = plan
        self.out = str(out)
        self.workers = workers

    def load_model(self) -> Artifact:
        return open_artifact(self.model, cast(Runtime, self.plan.runtime))

    def run_inference(
        self, batch: Sequence[int], model: Artifact, inference_args: Mapping[str, Any] | None = None
    ) -> Iterator[int]:
        """Generates shards. A shard that is generated twice, after a failure or by two workers at once, has the same
        files both times.

        Yields:
            The number of pairs of each.
        """
        for shard in batch:
            shards.Shard(self.plan, stores.place(self.out), shard).write(model, self.workers)
            yield len(self.plan.indices(shard))

    def get_num_bytes(self, batch: Sequence[int]) -> int:
        return 8 * len(batch)

    def get_metrics_namespace(self) -> str:
        return "synthmed"


def generate(
    opened: Artifact,
    plan: Plan,
    model: Path,
    out: Path,
    runner: str,
    options: Sequence[str] = (),
    repair: bool = False,
    workers: int = stream.WORKERS,
) -> int:
    """Generates what is missing of a set, and the files of the whole set.

    Args:
        opened: the artifact.
        plan: of the set.
        model: the folder of the artifact, which the workers open.
        out: the folder of the set; made if it is missing.
        runner: its name in Beam, such as DirectRunner, FlinkRunner, SparkRunner or DataflowRunner.
        options: of the pipeline, as Beam's command line takes them.
        repair: whether to read what is there and generate again what has changed.
        workers: threads of each process that encode and write.

    Returns:
        The number of pairs that were generated.

    Raises:
        SynthMedError: the folder holds something else or cannot be written, or the pipeline failed.
    """
    with files.failing_clearly(out):
        set_card.prepare(opened, plan, out)
        needed = [shard for shard in range(plan.shards) if not shards.Shard(plan, out, shard).is_whole(repair)]
        if needed:
            run(ShardHandler(model, plan, out, workers), needed, runner, options)
        missing = shards.missing(plan, out)
        if missing:
            raise SynthMedError(
                f"{len(missing)} shards, the first of them {missing[0]}, are not in {out} on this machine; the workers "
                "need that folder under the same path. Run the same command again for what is missing."
            )
        shards.finish(plan, out)
    return sum(len(plan.indices(shard)) for shard in needed)


def run(handler: ShardHandler, numbers: Iterable[int], runner: str, options: Sequence[str] = ()) -> None:
    """Runs the pipeline to its end.

    Args:
        handler: generates the shards.
        numbers: of the shards, in any order.
        runner, options: as of `generate`.

    Raises:
        SynthMedError: there is no such runner, or the pipeline failed; finished shards are kept.
    """
    try:
        with apache_beam.Pipeline(runner, PipelineOptions(list(options))) as pipeline:
            (
                pipeline
                | "shards" >> apache_beam.Create(list(numbers))
                | "spread" >> apache_beam.Reshuffle()
                | "generate" >> RunInference(handler)
            )
    except Exception as error:  # each runner has its own errors, which contain the error of the worker
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        said = next((line for line in reversed(lines) if "Error" in line), lines[0])
        raise SynthMedError(
            f"The pipeline failed on {runner} ({said[:300]}); correct this and run the same command again: "
            "finished shards are kept."
        ) from error
