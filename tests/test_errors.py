"""The error and the finding: one sentence, and its parts."""

import pickle
from pathlib import Path

from synthmed_tf.errors import ERROR, WARNING, Finding, SynthMedError


def test_an_error_of_parts_is_one_sentence():
    error = SynthMedError("is empty", "copy it again", path=Path("a b.png"))
    assert str(error) == "a b.png is empty; copy it again."
    assert error.finding("other") == Finding(ERROR, "a b.png", "is empty", "copy it again")
    assert str(error.finding("other")) == str(error)


def test_an_error_of_one_sentence_keeps_it():
    error = SynthMedError("Option --run is missing: name the folder.")
    assert str(error) == "Option --run is missing: name the folder."
    assert error.finding("a", WARNING) == Finding(WARNING, "a", "Option --run is missing: name the folder.", "")


def test_an_error_survives_pickling():
    error = pickle.loads(pickle.dumps(SynthMedError("is empty", "copy it", path="a")))
    assert (str(error), error.path, error.problem, error.remedy) == ("a is empty; copy it.", "a", "is empty", "copy it")
