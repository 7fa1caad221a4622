"""README and documentation: each command has the options it names, and each example runs."""

import ast
import inspect
import json
import re
import shlex

import click
import numpy as np
import pytest
import yaml
from helpers.paths import ROOT

import synthmed_tf as sm
from synthmed_tf.cli.main import main

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("export/serving/*.md")])
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def _commands(text: str) -> list[list[str]]:
    """The `synthmed` commands of indented and fenced blocks, as arguments; lines that end in a backslash are joined."""
    lines = re.sub(r" *\\\n +", " ", text).splitlines()
    found = re.compile(r"(?: {4,}|\$ )synthmed (?!_tf)(.*)")
    return [shlex.split(match[1], comments=True) for match in map(found.fullmatch, lines) if match]


def _parsed(arguments: list[str]) -> None:
    """Raises `click.UsageError` where a command or an option does not exist."""
    command: click.Command = main
    context = click.Context(command)
    while isinstance(command, click.Group):
        name = arguments[0]
        assert name in command.commands, f"there is no command {name}"
        command, arguments = command.commands[name], arguments[1:]
        context = click.Context(command, parent=context)
    command.make_parser(context).parse_args(list(arguments))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_options_that_pages_name(page):
    for arguments in _commands(page.read_text(encoding="utf-8")):
        try:
            _parsed(arguments)
        except click.UsageError as error:
            pytest.fail(f"synthmed {shlex.join(arguments)}: {error.format_message()}")


def test_commands_are_found_in_blocks():
    text = "Run `synthmed x`:\n\n    synthmed train --data DIR \\\n        --run 'A B'  # both stages\n\ntext\n"
    assert _commands(text) == [["train", "--data", "DIR", "--run", "A B"]]
    assert sum(len(_commands(page.read_text(encoding="utf-8"))) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readme_is_for_five_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 700


def test_the_readmes_example_runs(tiny_artifact, tmp_path, monkeypatch):
    """What opens the artifact runs; the calls before it are compared with the signatures, since training takes long."""
    (code,) = EXAMPLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    before, after = code.split("\n\nmodel = ")
    calls = [node.value for node in ast.parse(before).body if isinstance(node, ast.Expr)]
    for call in calls:
        inspect.signature(getattr(sm, call.func.attr)).bind(*call.args, **{word.arg: word for word in call.keywords})
    assert [call.func.attr for call in calls] == ["train", "export", "generate_set"]
    (tmp_path / "MODEL").symlink_to(tiny_artifact)
    monkeypatch.chdir(tmp_path)
    names: dict = {"sm": sm}
    exec(f"model = {after}", names)
    pairs, styled = names["pairs"], names["styled"]
    assert pairs.mask.shape == (8, 32, 32, 1) and pairs.image.shape == (8, 32, 32, 3)
    np.testing.assert_array_equal(styled.mask, pairs.mask)
    image, mask = next(iter(names["dataset"]))
    np.testing.assert_array_equal(mask, pairs.mask)
    np.testing.assert_array_equal(image, pairs.image)


def test_the_artifact_runs_as_its_page_says(tiny_artifact, tmp_path, monkeypatch):
    (code,) = EXAMPLE.findall((ROOT / "docs" / "artifact.md").read_text(encoding="utf-8"))
    (tmp_path / "MODEL").symlink_to(tiny_artifact)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert names["mask"].shape == (2, 32, 32, 1) and set(np.unique(names["mask"])) <= {0, 255}
    assert names["image"].shape == (2, 32, 32, 3) and names["image"].dtype == np.uint8


@pytest.mark.parametrize("notebook", sorted(ROOT.glob("examples/*.ipynb")), ids=lambda notebook: notebook.name)
def test_notebooks_are_kept_without_outputs(notebook):
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_contributing_lists_the_layers():
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (layers,) = re.findall(r"^layers = \[(.*?)^\]", settings, re.M | re.S)
    checked = [line.split(" | ") for line in re.findall(r'"(.+)"', layers)]
    (listed,) = re.findall(r"never from those above:\n\n((?: {4}.+\n)+)", (ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    assert [line.strip().split(", ") for line in listed.splitlines()] == checked[1:] and checked[0] == ["__main__"]


def test_settings_of_the_host_are_yaml():
    files = [ROOT / "CITATION.cff", ROOT / ".pre-commit-config.yaml", *ROOT.glob(".github/**/*.yml")]
    assert len(files) > 5 and all(isinstance(yaml.safe_load(file.read_text(encoding="utf-8")), dict) for file in files)
