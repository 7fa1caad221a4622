"""The plan of a set: which pairs, in which format, in how many shards. Equal plans give equal files."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthmed_tf.errors import SynthMedError

FORMATS = ("png", "tfrecord", "webdataset", "imagefolder", "nnunet", "dicom")
PLAIN = "png"
"""The format of a plain set: pairs of PNG files that are not cut into shards."""

LARGEST_INDEX = 2**63 - 1
PAIRS_A_SHARD = 1000


@dataclass(frozen=True)
class Plan:
    """What is generated, and how it is cut. Small, frozen and picklable, so that it can be sent to other machines.

    Attributes:
        model_sha256: identity of the model.
        seed: of the endless sequence that the pairs are a part of; fits into int64.
        first_index: index of the first pair, 0 or more.
        count: number of pairs, 1 or more.
        shards: number of shards, 1 to `count`; their lengths differ by one at most. 0 for a plain set, which is not
            cut and can grow pair by pair.
        format: one of `FORMATS`.
        size: pixels a side.
        runtime: one of `artifact.RUNTIMES`; images may differ between them by one grey level, and by more in float16
            and int8.
        batch_size: pairs generated at once, counted from the first pair of the shard; images may differ by one grey
            level between batch sizes.
        options: of the format, as JSON; most formats have none.
    """

    model_sha256: str
    seed: int
    first_index: int
    count: int
    shards: int
    format: str
    size: int
    runtime: str
    batch_size: int = 16
    options: str = ""

    def indices(self, shard: int) -> Sequence[int]:
        """The pairs of a shard; of a plain set, all pairs are shard 0.

        Raises:
            SynthMedError: there is no such shard.
        """
        places = self.places(shard)
        return range(self.first_index + places.start, self.first_index + places.stop)

    def places(self, shard: int) -> range:
        """The positions of a shard's pairs among all pairs, from 0.

        Raises:
            SynthMedError: there is no such shard.
        """
        shards = max(1, self.shards)
        if not 0 <= shard < shards:
            raise SynthMedError(f"There is no shard {shard}: the plan has shards 0 to {shards - 1}.")
        return range(*(self.count * number // shards for number in (shard, shard + 1)))

    def check(self) -> None:
        """Raises SynthMedError if a number is out of its range."""
        check_pairs(self.count, self.first_index, self.seed)
        least = 0 if self.format == PLAIN else 1
        if not least <= self.shards <= self.count:
            raise SynthMedError(
                f"The number of shards is {self.shards}; it must be from {least} to the number of pairs, {self.count}."
            )

    def facts(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> "Plan":
        """The plan that `facts` came from.

        Raises:
            SynthMedError: the facts are not those of a plan.
        """
        try:
            plan = cls(**facts)
            for field in dataclasses.fields(cls):
                if type(getattr(plan, field.name)) is not field.type:
                    raise TypeError(field.name)
        except TypeError as error:
            raise SynthMedError(f"The plan of the set is damaged ({error}); choose another --out.") from error
        plan.check()
        return plan


def default_shards(count: int) -> int:
    """One shard for each thousand pairs."""
    return max(1, math.ceil(count / PAIRS_A_SHARD))


def check_pairs(count: int, first_index: int, seed: int) -> None:
    """Raises SynthMedError if a number is out of its range."""
    if count < 1:
        raise SynthMedError(f"The number of pairs is {count}; it must be at least 1.")
    if first_index < 0 or first_index + count - 1 > LARGEST_INDEX:
        raise SynthMedError(
            f"Indices {first_index} to {first_index + count - 1} are not all from 0 to {LARGEST_INDEX}; "
            "choose another --from-index."
        )
    if not -(2**63) <= seed < 2**63:
        raise SynthMedError(f"The seed is {seed}; it must fit into 64 bits.")
