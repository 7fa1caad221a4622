"""A part of a set, which one process generates at a time: a shard, or all pairs of a plain set.

How parts are locked, resumed, repaired and generated stands here once; `shards` and `plain` say where files go.
"""

import abc
import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.artifact import Artifact
from synthmed_tf.generation import stream
from synthmed_tf.generation.formats.base import Pair
from synthmed_tf.generation.plan import Plan

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


class Sink(NamedTuple):
    """Where pairs go.

    Attributes:
        encode: called with each `Pair`, from several threads, in any order.
        add: takes what `encode` returned, in the order of the indices, from one thread.
    """

    encode: Callable[[Pair], Any]
    add: Callable[[Any], None]


class Part(abc.ABC):
    """A part of a set.

    Attributes:
        plan: of the set.
        out: the folder of the set.
        indices: of the pairs of this part.
        lock: the file that the process holds which generates it.
    """

    def __init__(self, plan: Plan, out: Path, number: int, lock: Path):
        self.plan = plan
        self.out = out
        self.indices = plan.indices(number)
        self.lock = lock

    @abc.abstractmethod
    def is_whole(self, read: bool) -> bool:
        """Whether the part is there, so that there is nothing to do; with `read`, by reading every file."""

    @abc.abstractmethod
    def start(self, repair: bool) -> Sequence[int]:
        """Removes what a killed process left, and returns the indices that are finished, ascending."""

    @abc.abstractmethod
    def opened(self) -> contextlib.AbstractContextManager[Sink]:
        """Opens the part for writing; at the end of the context it is whole. An error leaves nothing half-written."""

    def end(self, generated: int) -> None:  # noqa: B027
        """Called at the end, with the number of pairs that were generated."""

    def generate(self, model: Artifact, repair: bool, workers: int, progress: Progress) -> int:
        """Generates what is missing, and keeps other processes away meanwhile.

        Args:
            model: the artifact of the plan.
            repair: whether to read what is there and generate again what has changed; otherwise only sizes count.
            workers: threads that encode and write.
            progress: called with (done, total), in pairs of this part.

        Returns:
            The number of pairs that were generated.

        Raises:
            BlockingIOError: another process is generating the part.
            SynthMedError: the artifact is not that of the plan.
            OSError: the folder cannot be written.
        """
        if self.is_whole(repair):
            progress(len(self.indices), len(self.indices))
            return 0
        with files.exclusive(self.lock):
            finished = self.start(repair)
            progress(len(finished), len(self.indices))
            generated = len(self.indices) - len(finished)
            if generated:
                self.write(model, workers, progress, finished)
            self.end(generated)
        return generated

    def write(
        self,
        model: Artifact,
        workers: int = stream.WORKERS,
        progress: Progress = lambda done, total: None,
        finished: Sequence[int] = (),
    ) -> None:
        """Generates pairs, without the lock: two machines that do so at once write the same files.

        Args:
            model, workers, progress: as of `generate`.
            finished: indices that are left out, ascending.

        Raises:
            SynthMedError: the artifact is not that of the plan.
            OSError: the folder cannot be written.
        """
        _check_model(model, self.plan)
        missing = _without(self.indices, finished)
        with self.opened() as sink:
            pairs = stream.encoded(model, self.plan.seed, missing, sink.encode, self.plan.batch_size, workers)
            with contextlib.closing(pairs):
                for done, encoded in enumerate(pairs, start=len(finished) + 1):
                    sink.add(encoded)
                    progress(done, len(self.indices))


def _check_model(model: Artifact, plan: Plan) -> None:
    if (model.model_sha256, model.runtime) != (plan.model_sha256, plan.runtime):
        raise SynthMedError(
            f"The plan is for model {plan.model_sha256} in {plan.runtime}, not {model.model_sha256} in "
            f"{model.runtime}; open the artifact that it was made for."
        )


def _without(indices: Sequence[int], finished: Iterable[int]) -> Iterator[int]:
    """The indices, a range, that are not finished (ascending)."""
    start, stop = indices[0], indices[-1] + 1
    for end in itertools.chain(map(int, finished), [stop]):
        yield from range(start, end)
        start = end + 1
