"""Old spellings go on for one version: what each becomes, its notice on stderr, and that the help hides it."""

import shlex

import pytest
from click.testing import CliRunner

from synthmed_tf.cli.main import main
from synthmed_tf.cli.old_spellings import translate

TRANSLATED = [
    (
        "train --set a=1 --data D --set=b=2",
        "train --override a=1 --data D --override=b=2",
        ["`--set` is now `--override`"],
    ),
    ("evaluate --set S --real R", "evaluate S --real R", ["`evaluate --set SET` is now `synthmed evaluate SET`"]),
    ("filter --report R --set=S", "filter --report R S", ["`filter --set SET` is now `synthmed filter SET`"]),
    ("runs RUN", "status RUN", ["`synthmed runs RUN` is now `synthmed status RUN`"]),
    (
        "serve --host H --repository R --rest-port 1",
        "site serve --host H R --port 1",
        ["`synthmed serve --repository REPO` is now `synthmed site serve REPO`"],
    ),
    ("site R --out S", "site build R --out S", ["`synthmed site REPO` is now `synthmed site build REPO`"]),
    (
        "generate -n 1 --runner FlinkRunner --runner-option=--flink_master=H:1",
        "generate -n 1 --engine beam --engine-option runner=FlinkRunner --engine-option=--flink_master=H:1",
        [
            "`--runner-option` is now `--engine-option`",
            "`--runner NAME` is now `--engine beam --engine-option runner=NAME`",
        ],
    ),
    ("export --licence=CC0 --run R", "export --license=CC0 --run R", ["`--licence` is now `--license`"]),
    (
        "publish S --licence A --training-licence B",
        "publish S --license A --training-license B",
        ["`--licence` is now `--license`", "`--training-licence` is now `--training-license`"],
    ),
]


@pytest.mark.parametrize(("old", "new", "notices"), TRANSLATED)
def test_an_old_spelling_is_translated_with_a_notice(old, new, notices):
    assert translate(old.split()) == (new.split(), notices)
    assert translate(new.split()) == (new.split(), [])


@pytest.mark.parametrize("current", ["", "-h", "site", "site -h", "site build R", "serve --model M", "generate -n 1"])
def test_what_is_current_stays(current):
    assert translate(current.split()) == (current.split(), [])


@pytest.mark.parametrize(
    ("old", "notice"),
    [
        ("runs none", "`synthmed runs RUN` is now `synthmed status RUN`"),
        ("train --data phantom --dry-run --set size=100", "`--set` is now `--override`"),
        ("evaluate --set none --real none --out O", "`evaluate --set SET` is now `synthmed evaluate SET`"),
        ("export --licence CC0 --run none --out O", "`--licence` is now `--license`"),
        ("site none --out O", "`synthmed site REPO` is now `synthmed site build REPO`"),
    ],
)
def test_the_command_runs_and_the_notice_is_on_stderr(tmp_path, monkeypatch, old, notice):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, shlex.split(old))
    assert result.stdout == "" and result.exit_code == 2
    first, second = result.stderr.splitlines()
    assert first == f"synthmed: {notice}; the old spelling will go in the next version."
    assert second.startswith("synthmed: ") and second.endswith(".")


@pytest.mark.parametrize(
    "command", ["", "train", "evaluate", "filter", "serve", "site", "export", "publish", "search", "status"]
)
def test_no_old_spelling_is_in_the_help(command):
    result = CliRunner().invoke(main, [*command.split(), "--help"])
    assert result.exit_code == 0
    words = result.stdout.replace(",", " ").split()
    assert not {"--set", "--licence", "--training-licence", "runs"} & set(words)
    assert command in ("publish", "") or "--repository" not in words
