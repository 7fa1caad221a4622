"""Names and texts that come from somebody else."""

import pytest

from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.paths import check_distinct, plain, safe


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b/c.png",
        "tfrecord/synthmed-train.tfrecord-00000-of-00001",
        "a b",
        "Zürich"[0] + "rich",
        "a" * 128,
        "x@1.0.0",
    ],
)
def test_plain_paths_are_safe(path):
    assert safe(path) == path


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", "..", "a/..", "../a", "./a", "a/./b", ".a", "a/.b", "a\\b", "C:/a", "a:b", "a\0", "a\nb",
     "a\x7f", "a.", "a ", "a./b", "con", "NUL.txt", "a/com1.png", "é", "a\u202eb", "a" * 129, "/".join("a" * 9),
     "a/" * 150 + "a", "~/a", "-a\x1b", "%2e%2e/a", "a?b", "a#b", "a*", "$HOME", "`a`", "a;b", "a|b", "a&b", "a\ud800"],
)  # fmt: skip
def test_other_paths_are_not(path):
    with pytest.raises(SynthMedError) as refused:
        safe(path)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 400


@pytest.mark.parametrize("paths", [("a", "a"), ("a/B", "A/b"), ("a", "a/b"), ("x/Y/z", "X/y")])
def test_paths_that_clash_are_refused(paths):
    with pytest.raises(SynthMedError, match=r"name one file|lies in what is a file too"):
        check_distinct(paths)
    check_distinct(("a/b", "a/c", "b"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\x1b[31mb", "a\ufffd[31mb"),
        ("a\u202eb\u200bc", "a\ufffdb\ufffdc"),
        ("a\n\tb", "a b"),
        ("a   b", "a b"),
        ("é 漢", "é 漢"),
        ("x" * 301, "x" * 300 + "…"),
    ],
)
def test_text_is_shown_plainly(text, shown):
    assert plain(text) == shown
