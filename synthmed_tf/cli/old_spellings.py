"""Old spellings of commands and options. They work for one version, with a notice; the help does not show them."""

RENAMED = {"--licence": "--license", "--training-licence": "--training-license"}
"""Options of every command."""

_COMMANDS_WITH_SET = ("evaluate", "filter")


def translate(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Translates a command line.

    Args:
        arguments: what follows `synthmed`.

    Returns:
        The arguments in the current spelling, and a notice for each old spelling.

    Example:
        >>> translate(["runs", "RUN"])
        (['status', 'RUN'], ['`synthmed runs RUN` is now `synthmed status RUN`'])
    """
    if not arguments:
        return [], []
    command, rest = arguments[0], arguments[1:]
    notices: list[str] = []
    for old, new in RENAMED.items():
        rest = _renamed(rest, old, new, notices)
    if command == "train":
        rest = _renamed(rest, "--set", "--override", notices)
    if command in _COMMANDS_WITH_SET:
        rest = _positional(rest, "--set", f"`{command} --set SET` is now `synthmed {command} SET`", notices)
    if command == "generate" and _has(rest, "--runner"):
        rest = _renamed(rest, "--runner-option", "--engine-option", notices)
        rest = _runner(rest, notices)
    if command == "runs":
        command = "status"
        notices.append("`synthmed runs RUN` is now `synthmed status RUN`")
    if command == "serve" and _has(rest, "--repository"):
        notice = "`synthmed serve --repository REPO` is now `synthmed site serve REPO`"
        rest = ["serve", *_positional(_renamed(rest, "--rest-port", "--port", []), "--repository", notice, notices)]
        command = "site"
    elif command == "site" and rest and rest[0] not in ("build", "serve", "-h", "--help"):
        rest = ["build", *rest]
        notices.append("`synthmed site REPO` is now `synthmed site build REPO`")
    return [command, *rest], notices


def _has(arguments: list[str], option: str) -> bool:
    return any(argument.partition("=")[0] == option for argument in arguments)


def _renamed(arguments: list[str], old: str, new: str, notices: list[str]) -> list[str]:
    if not _has(arguments, old):
        return arguments
    notices.append(f"`{old}` is now `{new}`")
    split = (argument.partition("=") for argument in arguments)
    return [f"{new if name == old else name}{equals}{value}" for name, equals, value in split]


def _positional(arguments: list[str], old: str, notice: str, notices: list[str]) -> list[str]:
    """Leaves out an option's name, so that its value becomes the argument of the command."""
    if not _has(arguments, old):
        return arguments
    notices.append(notice)
    split = ((argument, *argument.partition("=")[::2]) for argument in arguments)
    return [value if name == old else argument for argument, name, value in split if argument != old]


def _runner(arguments: list[str], notices: list[str]) -> list[str]:
    """The runner of Apache Beam, which is an option of the engine."""
    found = iter(arguments)
    rest = []
    for argument in found:
        name, equals, value = argument.partition("=")
        if name == "--runner":
            rest += ["--engine", "beam", "--engine-option", f"runner={value if equals else next(found, '')}"]
        else:
            rest.append(argument)
    notices.append("`--runner NAME` is now `--engine beam --engine-option runner=NAME`")
    return rest
