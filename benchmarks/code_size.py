"""The size of the package: modules, lines of code, and imports between folders.

    python benchmarks/code_size.py [CHECKOUT]

Lines are those with code: without docstrings, comments and blank lines. An arrow is a pair of folders (or of modules in
the root) of which the first imports the second.
"""

import argparse
import ast
import io
import json
import tokenize
from pathlib import Path

PACKAGE = "synthmed_tf"
_NOT_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, nargs="?", default=Path(__file__).resolve().parents[1])
    root = parser.parse_args().checkout
    texts = {_module(file, root): file.read_text(encoding="utf-8") for file in sorted((root / PACKAGE).rglob("*.py"))}
    sizes = {name: code_lines(text) for name, text in texts.items()}
    arrows = {arrow for name, text in texts.items() for arrow in _arrows(name, text, texts.keys())}
    print(
        json.dumps(
            {
                "modules": sum(size > 0 for size in sizes.values()),
                "lines of code": sum(sizes.values()),
                "folders and root modules": len({_folder(name) for name in texts}),
                "arrows": len(arrows),
                "arrows both ways": sum((b, a) in arrows for a, b in arrows) // 2,
            },
            indent=2,
        )
    )


def code_lines(text: str) -> int:
    """How many lines of a file hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        # Docstrings, and the strings that describe a constant below it.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def _module(file: Path, root: Path) -> str:
    """`synthmed_tf.data.layouts`; a package is `synthmed_tf.data.__init__`."""
    return ".".join(file.relative_to(root).with_suffix("").parts)


def _folder(module: str) -> str:
    """`data` or `data.doctor`; a module in the root stands for itself."""
    _, *folder, name = module.split(".")
    return ".".join(folder) or name


def _arrows(module: str, text: str, known) -> set[tuple[str, str]]:
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            choices = [[alias.name] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            choices = [[f"{node.module}.{alias.name}", node.module] for alias in node.names]
        else:
            continue
        for names in choices:
            target = next((each for name in names for each in (name, f"{name}.__init__") if each in known), None)
            if target and _folder(target) != _folder(module):
                found.add((_folder(module), _folder(target)))
    return found


if __name__ == "__main__":
    main()
