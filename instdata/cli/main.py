"""The program: its commands, and every error as one clear line and its exit code.

Commands parse, call and print, each in the file of its name; what they do lives in the modules they import."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import traceback
from copy import copy
from typing import Annotated, Any

import typer

from instdata.cli import (
    ablate,
    agent,
    arms,
    audit,
    build,
    compare,
    curves,
    doctor,
    evaluate,
    export,
    help_and_reference,
    init,
    judge_card,
    keep_drop_relabel,
    leaderboard,
    models_and_cache,
    publish,
    report,
    reproduce,
    review,
    train,
    why_and_diff,
)
from instdata.cli import next as next_
from instdata.cli.common import json_text, running, sayer, wants_json
from instdata.cli.help_and_reference import name_of
from instdata.util.redaction import redacted, shown

app = typer.Typer(
    help="From raw instruction data to nested, ability-labelled subsets, and what each choice did.",
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip


# A name that no file can have: too long, a link to itself, bytes that the file system refuses.
NO_NAME = {errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ}
# Commands that load a build's or a network's libraries.
HEAVY = {
    "build",
    "audit",
    "train",
    "evaluate",
    "curves",
    "ablate",
    "arms",
    "next",
    "leaderboard",
    "reproduce",
    "verify",
    "report",
    "push-to-hub",
}
LONG = re.compile(r"\S{400,}")  # a name of thousands of characters is told by its ends
BARE = {"init", "doctor", "cache", "models"}  # those that load nothing


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        from instdata import __version__

        print(f"instdata {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit
    token = running.set(context)
    context.call_on_close(lambda: running.reset(token))
    if context.invoked_subcommand not in BARE:
        from instdata.util.machine_limits import enough

        enough(context.invoked_subcommand in HEAVY)
    if context.invoked_subcommand in HEAVY:
        sayer(bool({"--quiet", "-q"} & set(sys.argv)), "starting")  # loading what a command needs may take long


for commands in (
    build, why_and_diff, init, doctor, export, publish, arms, audit, compare, leaderboard, reproduce, next_, train,
    evaluate, curves, ablate, judge_card, keep_drop_relabel, report, review, agent, models_and_cache,
):  # fmt: skip
    commands.register(app)
help_and_reference.tell(app)


def _ended(number: int, frame: Any) -> None:
    """What a scheduler's signal does: the same as Ctrl-C."""
    raise KeyboardInterrupt


def main() -> None:
    """Run a command; every error becomes one clear line and its exit code."""
    from instdata.util.errors import InputError, InstdataError, OutOfTime

    if sys.platform == "win32":
        _fail("instdata runs on Linux and macOS; on Windows, run it in WSL (wsl --install)", 2)
    signal.signal(signal.SIGTERM, _ended)
    try:
        program = _called(sys.argv[1:])
        code = program(standalone_mode=False, prog_name="instdata")  # a command's; 130 where it was interrupted
        if code == 130:
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except InputError as e:
        _fail(str(e), e.exit_code, e.problems)
    except InstdataError as e:
        _fail(str(e), e.exit_code)
    except OutOfTime as e:
        _fail(str(e), 1)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; what was done is kept: run the same command again to go on", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as e:
        if hasattr(e, "exit_code") and hasattr(e, "format_message"):  # a usage error of the command line
            hint = f" See: {e.ctx.command_path} --help" if getattr(e, "ctx", None) else ""  # type: ignore[attr-defined]
            from instdata.cli.error_fixes import usage

            _fail(f"{usage(e.format_message())}{hint}", 2)
        from instdata.util.machine_limits import trouble

        if os.environ.get("INSTDATA_DEBUG"):
            print(shown("".join(traceback.format_exception(e))), file=sys.stderr)
        if line := trouble(e, elsewhere=_elsewhere()):
            _fail(line, 1)
        if isinstance(e, (FileExistsError, NotADirectoryError, IsADirectoryError)):
            _fail(
                f"{e.filename}: a {'folder' if isinstance(e, IsADirectoryError) else 'file'} is there; name another", 2
            )
        if isinstance(e, RuntimeError) and str(e).startswith("Symlink loop"):  # pathlib's word until Python 3.13
            _fail(f"{e}: a link to itself", 2)
        if isinstance(e, OSError):
            name = str(e.filename or "")
            short = name if len(name) <= 200 else f"{name[:100]}…{name[-60:]}"
            code = 2 if e.errno in NO_NAME else 1
            _fail(f"{short + ': ' if short else ''}{e.strerror or e}", code)
        from instdata.util.yaml import HALF

        if odd := next((a for a in sys.argv[1:] if HALF.search(a)), None):
            _fail(f"{ascii(odd)[1:-1]} is no text: its bytes are not UTF-8", 2)
        _fail(f"{type(e).__name__}: {e}. This is a bug: INSTDATA_DEBUG=1 shows where", 1)


def _called(words: list[str]) -> typer.Typer:
    """The program with the one command that is called: options of all others are a tenth of a second to set up. With
    all of them where the first word is none of them."""
    named = [c for c in app.registered_commands if words[:1] == [name_of(c)]]
    if not named:
        return app
    one = copy(app)
    one.registered_commands, one.registered_groups = named, []
    return one


def _elsewhere() -> str:
    """The option that moves the files of this command, where it has one."""
    command = typer.main.get_command(app).commands.get(next(iter(sys.argv[1:]), ""))  # type: ignore[attr-defined]
    moved = any("--out" in p.opts for p in command.params) if command else False
    return "--out" if moved else ""


def _fail(message: str, code: int, problems: list[tuple[str, int | None, str]] | None = None) -> None:
    """Say an error on stderr, as JSON on stdout where that was asked for, and leave."""
    message = LONG.sub(lambda m: f"{m[0][:100]}…{m[0][-60:]}", shown(message))
    print(message, file=sys.stderr)
    if wants_json():
        from instdata.cli.error_fixes import fixes

        fix = redacted(fixes([(f, n, shown(m)) for f, n, m in problems or [("", None, message)]], code, sys.argv[1:]))
        print(json_text({"error": message, "exit_code": code, "fix": fix}))
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
