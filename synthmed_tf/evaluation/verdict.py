"""The answer to a question about a synthetic set, in three states; the limits, which are fixed in advance; and the base
of all results.
"""

import enum
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Annotated

import pydantic

Number = Annotated[float, pydantic.WrapValidator(lambda value, inner: math.nan if value is None else inner(value))]
"""A float; null is read as NaN."""


class Result(pydantic.BaseModel):
    """The base of all results: frozen, NaN and infinity are null in JSON, and fields of a newer version are ignored."""

    model_config = pydantic.ConfigDict(
        frozen=True,
        ser_json_inf_nan="null",
        protected_namespaces=(),
        json_schema_serialization_defaults_required=True,
    )


class LeftOut(Result):
    """Something that was not measured.

    Attributes:
        name: what it is.
        reason: why, in words that name no file and no patient.
        error: the message of the error that prevented it, which may name files and patients; None where there was no
            error, and in a published report.
    """

    name: str
    reason: str
    error: str | None = None

    @classmethod
    def failed(cls, name: str, error: Exception) -> "LeftOut":
        """Left out because of an error."""
        return cls(name=name, reason="it failed with an error", error=str(error))


class State(str, enum.Enum):
    """PASS and FAIL need evidence; what lies between them is CANNOT TELL, which never rounds up."""

    PASS = "PASS"
    CANNOT_TELL = "CANNOT TELL"
    FAIL = "FAIL"


_WORST_FIRST = (State.FAIL, State.CANNOT_TELL, State.PASS)


class Answer(Result):
    """The answer to one question, in words that name no patient and no file of the real data.

    Attributes:
        question: its key in `QUESTIONS`.
        state: PASS where the whole interval lies inside the limit, FAIL where harm is established.
        sentence: what was found, in plain words, with the value and its interval.
        limit: what would have failed, in plain words.
        needed: what would allow an answer, or what the answer cannot exclude; None where there is nothing to add.
        invalid: whether a control fired, so that the test behind it means nothing; the state then is CANNOT TELL.
    """

    question: str
    state: State
    sentence: str
    limit: str
    needed: str | None = None
    invalid: bool = False


class Evidence(Result):
    """A measurement on which a verdict rests.

    Attributes:
        name: what was measured.
        value: the result; NaN where it could not be measured.
        low, high: its interval; NaN where there is none.
    """

    name: str
    value: Number
    low: Number = math.nan
    high: Number = math.nan


class Verdict(Answer):
    """The answer to one question with its evidence.

    Attributes:
        evidence: the measurements on which it rests; they name no patient and no file either.
        private: sentences that name patients and files of the real data; none in a published report.
    """

    evidence: tuple[Evidence, ...] = ()
    private: tuple[str, ...] = ()


QUESTIONS = {
    "utility": "Is the set as useful as real pairs for training a segmenter?",
    "fidelity": "Do the images show their masks?",
    "geometry": "Are the vessel trees like real ones?",
    "diversity": "Are the pairs as diverse as real ones?",
    "copies": "Is any pair a copy of a real one?",
    "membership": "Can an attacker tell whose images the generator was trained on?",
}
"""Every question that a report answers, in its order."""


class Limits(pydantic.BaseModel):
    """The limits of `synthmed evaluate`. They are not options: a limit that is chosen after the results is no limit.

    Attributes:
        utility: by how much mean Dice may be below that of real pairs.
        fidelity: by how much the Dice of the synthetic images may be below that of unseen real ones.
        geometry: largest Wasserstein distance of a feature, in standard deviations of the real values.
        diversity: least ratio of the Vendi scores, synthetic to real.
        membership: largest AUC of an attack.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    utility: float = 0.02
    fidelity: float = 0.05
    geometry: float = 0.5
    diversity: float = 0.8
    membership: float = 0.6


LIMITS = Limits()


def cannot_tell(question: str, limit: str, sentence: str, needed: str, invalid: bool = False) -> Verdict:
    """The verdict CANNOT TELL, with what would be needed to tell."""
    return Verdict(
        question=question, state=State.CANNOT_TELL, sentence=sentence, limit=limit, needed=needed, invalid=invalid
    )


def between(low: float, high: float, limit: float, harm: str) -> State:
    """The state of a value with its interval.

    Args:
        low, high: the interval; NaN where there is none.
        limit: of the value.
        harm: `above` or `below`: on which side of the limit the harm lies.

    Returns:
        PASS where the whole interval lies on the good side or on the limit, FAIL where it lies wholly beyond it.
    """
    good, bad = (high <= limit, low > limit) if harm == "above" else (low >= limit, high < limit)
    return State.PASS if good else State.FAIL if bad else State.CANNOT_TELL


def worst(states: Iterable[State]) -> State:
    """FAIL before CANNOT TELL before PASS; of no state at all it is CANNOT TELL."""
    found = list(states) or [State.CANNOT_TELL]
    return functools.reduce(lambda a, b: min(a, b, key=_WORST_FIRST.index), found)


def headline(verdict: State, verdicts: Sequence[Answer]) -> str:
    """The verdict over all in a sentence."""
    asked = len(verdicts)
    of_state = [answer for answer in verdicts if answer.state is verdict]
    if not asked:
        return "No question was asked, so there is no answer."
    if verdict is State.PASS:
        return f"{_questions(asked)} asked, and the whole interval of each result lies inside its limit."
    named = "; ".join(QUESTIONS.get(answer.question, answer.question).rstrip("?").lower() for answer in of_state)
    if verdict is State.FAIL:
        return f"Harm is established in {len(of_state)} of {asked} questions: {named}."
    return f"No harm is established, but {len(of_state)} of {asked} questions cannot be answered: {named}."


def _questions(count: int) -> str:
    return "One question was" if count == 1 else f"{count} questions were"
