"""Three states, by intervals and limits."""

import math

import pytest

from synthmed_tf.evaluation.verdict import State, between, worst


@pytest.mark.parametrize(
    ("low", "high", "harm", "state"),
    [
        (-0.03, -0.021, "below", State.FAIL),
        (-0.03, -0.01, "below", State.CANNOT_TELL),
        (-0.02, 0.01, "below", State.PASS),
        (-0.03, -0.02, "below", State.CANNOT_TELL),
        (-0.03, -0.021, "above", State.PASS),
        (-0.03, -0.01, "above", State.CANNOT_TELL),
        (-0.019, 0.3, "above", State.FAIL),
        (math.nan, math.nan, "above", State.CANNOT_TELL),
        (-0.03, math.nan, "above", State.CANNOT_TELL),
    ],
)
def test_an_interval_passes_wholly_inside_the_limit_and_fails_wholly_beyond_it(low, high, harm, state):
    assert between(low, high, -0.02, harm) == state


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([State.PASS, State.PASS], State.PASS),
        ([State.PASS, State.CANNOT_TELL], State.CANNOT_TELL),
        ([State.CANNOT_TELL, State.FAIL, State.PASS], State.FAIL),
        ([], State.CANNOT_TELL),
    ],
)
def test_the_worst_state_decides_and_cannot_tell_never_rounds_up(states, state):
    assert worst(states) == state
