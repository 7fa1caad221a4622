"""What a worker of any engine does: it generates shards."""

import functools
import threading
from dataclasses import dataclass
from typing import cast

from synthmed_tf import stores
from synthmed_tf.exporting.artifact import Artifact, Runtime, open_artifact
from synthmed_tf.generation import shards, stream
from synthmed_tf.generation.plan import Plan

_opening = threading.Lock()


@dataclass(frozen=True)
class Work:
    """Generates shards where it is called. Small and picklable; a process opens the artifact once.

    Attributes:
        model: the folder of the artifact, or its address in an object store.
        plan: of the set.
        out: the folder of the set, with its card, or its address.
        repair: whether to read what is there and generate again what has changed; otherwise only sizes count.
        workers: threads that encode and write.
    """

    model: str
    plan: Plan
    out: str
    repair: bool = False
    workers: int = stream.WORKERS

    def __call__(self, shard: int) -> int:
        """Generates a shard, unless it is whole.

        There is no lock: two workers with the same shard write the same files.

        Returns:
            The number of pairs in the shard.

        Raises:
            SynthMedError: there is no such artifact, or it is not that of the plan.
            OSError: the folder of the set cannot be written.
        """
        part = shards.Shard(self.plan, stores.place(self.out), shard)
        if not part.is_whole(self.repair):
            part.write(opened(self.model, cast(Runtime, self.plan.runtime)), self.workers)
        return len(part.indices)


def opened(model: str, runtime: Runtime) -> Artifact:
    """The artifact, which this process opens once, even if several threads ask for it at the same time."""
    with _opening:
        return _opened(model, runtime)


@functools.lru_cache(maxsize=1)
def _opened(model: str, runtime: Runtime) -> Artifact:
    return open_artifact(model, runtime)
