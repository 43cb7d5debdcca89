"""What every command shares: its common options, how it speaks, how it prints its result."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

import typer

from instdata.util.progress import Heartbeat, rest
from instdata.util.redaction import redact, shown
from instdata.util.safe_text import escaped

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the result.")]
Sandbox = Annotated[
    str, typer.Option("--sandbox", help="What runs models' code for unit_tests: auto, docker, none.", metavar="WAY")
]
IKnow = Annotated[bool, typer.Option("--i-know", help="With --sandbox none: run it with your own rights.")]
# The command that runs, as the program was called: typer has a click of its own, or the one that is installed.
running: ContextVar[typer.Context | None] = ContextVar("running", default=None)
BuildDir = Annotated[
    Path | None,
    typer.Argument(help="A build folder or its name under builds/; the newest by default.", show_default=False),
]

Row = Annotated[
    list[str],
    typer.Argument(
        help="An id (32 hex digits), a rid (source/file:row), or the end of one (file:row); before it the build.",
        metavar="[BUILD] ID",
        show_default=False,
    ),
]
Of = Annotated[
    Path | None, typer.Option("--build", help="The build folder; the newest by default.", show_default=False)
]


def as_folder(out: Path | None) -> Path | None:
    """--out of a command that works for long: a folder, or what can become one. Raises InputError before the work."""
    from instdata.util.errors import InputError

    for path in (out, *out.parents) if out is not None else ():
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: a file is there; --out names a folder")
    return out


def as_name(name: Any) -> Any:
    """A model's name, or several, as it was given. Raises InputError for an empty one: a variable that was not set."""
    from instdata.util.errors import InputError

    for one in name if isinstance(name, list) else [name]:
        if one is not None and not one.strip():
            raise InputError("the name of a model is empty: is a variable not set? Leave the option out, or name one")
    return name


Model = Annotated[
    str,
    typer.Option(callback=as_name, help="auto, a folder, a .gguf file, local:NAME, or owner/name on the Hub."),
]
Judge = Annotated[
    str | None,
    typer.Option("--judge", callback=as_name, help="A model that judges abilities which ask it.", show_default=False),
]


def disk(keep: str) -> int:
    """--keep in bytes. Raises InputError."""
    from instdata.util.errors import InputError
    from instdata.util.sizes_and_shares import bytes_of

    try:
        return bytes_of(keep)
    except ValueError as e:
        raise InputError(f"--keep {e}") from None


def row_of(words: list[str], build: Path | None) -> tuple[Path, str]:
    """The build and the row that `[BUILD] ID` with `--build` mean. Raises InputError."""
    from instdata.builds import build_at, find_build
    from instdata.util.errors import InputError

    if len(words) > 2 or (len(words) == 2 and build is not None):
        raise InputError(f"{' '.join(words)}: name a build once, and one row: BUILD ID, or ID --build BUILD")
    if len(words) == 1 and build is None and build_at(Path(words[0])):
        raise InputError(f"{words[0]}: this is a build; name a row of it too: {words[0]} ID")
    return find_build(Path(words[0]) if len(words) == 2 else build), words[-1]


def runs_code(command: Callable[..., None]) -> Callable[..., None]:
    """A command in which models' code may run: it takes --sandbox and --i-know, which choose for the whole process."""

    @functools.wraps(command)
    def run(*arguments: Any, sandbox: str = "auto", i_know: bool = False, **options: Any) -> None:
        from instdata.score.sandbox.run import use

        use(sandbox, i_know)
        command(*arguments, **options)

    shape = inspect.signature(command, eval_str=True)
    new = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value, annotation=kind)
        for name, value, kind in (("sandbox", "auto", Sandbox), ("i_know", False, IKnow))
    ]
    *rest, json_, quiet = shape.parameters.values()
    run.__signature__ = shape.replace(parameters=[*rest, *new, json_, quiet])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*rest, *new, json_, quiet]} | {"return": None}
    return run


def wants_json() -> bool:
    """Whether this process was asked for JSON."""
    return "--json" in sys.argv


def sayer(quiet: bool, doing: str = "") -> Callable[[str], None]:
    """Lines for people go to stderr, folded at the terminal's width; with --json each is an object: {seconds, say}.
    `doing`: what the command does for long; until its result is printed, no silence lasts ten seconds."""
    import shutil
    import textwrap
    import time

    started = time.monotonic()

    def tell(line: str) -> None:
        said = {"seconds": round(time.monotonic() - started, 1), "say": redact(line)}
        print(json_text(said), file=sys.stderr, flush=True)

    width = shutil.get_terminal_size((80, 24)).columns

    def say(line: str) -> None:
        for part in shown(line).splitlines():
            fits = len(part) <= width
            text = part if fits else textwrap.fill(part, width, subsequent_indent="  ", break_long_words=False)
            print(text, file=sys.stderr, flush=True)

    told = (lambda line: None) if quiet else tell if wants_json() else say
    context = running.get()
    if quiet or not doing or context is None:
        return told
    if isinstance(context.find_root().obj, Heartbeat):  # it began before the command's libraries were loaded
        context.find_root().obj.doing = doing
        return context.find_root().obj.say
    beat = context.with_resource(Heartbeat(told, live=sys.stderr.isatty() and not wants_json()))
    beat.doing = doing
    if context is context.find_root():
        context.obj = beat
    return beat.say


def json_text(value: Any, **how: Any) -> str:
    """JSON for stdout, which may be a terminal: characters that would command it are escaped, which changes no
    value."""
    return escaped(json.dumps(value, ensure_ascii=False, default=str, **how))


def result(value: dict[str, Any], as_json: bool, show: Callable[[], Any], quiet: bool = False) -> None:
    """The one place that prints a result: JSON, or for people."""
    rest()
    if as_json:
        print(json_text(value))
    elif not quiet:
        show()


def serve(server: Any, as_json: bool, say: Callable[[str], None]) -> None:
    """Say where a page is (report/server.py), and serve it until Ctrl+C."""
    print(json_text({"url": server.address}) if as_json else server.address, flush=True)
    say("open this address; Ctrl+C ends")
    with suppress(KeyboardInterrupt):
        server.run()


def drawn(draw: Callable[[Path], Path], folder: Path, say: Callable[[str], None]) -> str | None:
    """The page that `draw` makes of a folder; None, and said, where the report extra is missing."""
    from instdata.util.errors import MissingExtra

    try:
        return str(draw(folder))
    except MissingExtra as e:
        say(str(e))
        return None
