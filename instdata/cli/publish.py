"""`push-to-hub`, `verify` and `sign`: the published dataset."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from instdata.cli.common import AsJson, BuildDir, Quiet, result, runs_code, sayer
from instdata.util.safe_text import plain


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("push-to-hub")(push_to_hub)
    app.command()(verify)
    app.command()(sign)


def push_to_hub(
    build: BuildDir = None,
    repo: Annotated[str | None, typer.Option(help="owner/name; by default the recipe's.", show_default=False)] = None,
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public", help="For a new dataset; by default as the recipe says: private.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the files and their sizes; send nothing.")] = False,
    accept_unknown_license: Annotated[
        bool, typer.Option("--accept-unknown-license", help="Publish rows whose licence nobody stated.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Pass over an objection; the refusal names it.", metavar="NAME", show_default=False),
    ] = None,
    sign: Annotated[
        Path | None, typer.Option(help="Sign it with this SSH key.", metavar="KEY", show_default=False)
    ] = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Publish a build as one Hub dataset, or a trained run as a model: one commit, a tag. The same again changes
    nothing."""
    from instdata.cli.output import pushed
    from instdata.publish.push import publish

    named = [w for item in allow or [] for w in item.split(",")] + ["unknown-license"] * accept_unknown_license
    done = publish(build, repo, private, dry_run, named, sayer(quiet, "sending"), sign)
    result(done, json_, lambda: pushed(done), quiet)
    if done["objections"]:
        print(plain("\n".join(done["objections"])), file=sys.stderr)
        raise typer.Exit(2)


@runs_code
def verify(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[REPO|BUILD]",
            help="owner/name on the Hub, or a build; the newest build by default.",
            show_default=False,
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="A tag or commit of the Hub dataset.", show_default=False)
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build it again from its own recipe, and compare the bytes.")
    ] = False,
    sources: Annotated[
        Path | None,
        typer.Option(help="With --rebuild: where the recipe's paths start (default: here).", show_default=False),
    ] = None,
    signed_by: Annotated[
        Path | None,
        typer.Option(
            help="It must be signed by one of these: a .pub, or allowed signers.", metavar="KEYS", show_default=False
        ),
    ] = None,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check a published set, or a build, against its manifest: hashes, counts, nesting, shares, leaks, ledger, ids."""
    from instdata.builds import find_build
    from instdata.cli.output import verification
    from instdata.publish.verify import verify as check
    from instdata.util.errors import InputError

    if sources is not None and not rebuild:
        raise InputError("--sources says where --rebuild finds the recipe's files: add --rebuild")
    meant = target or find_build(None)
    say = sayer(quiet, "checking")
    found = check(meant, revision, signed_by)
    if rebuild:
        from instdata.rebuild import rebuild as again

        one = again(meant, sources, revision, say)
        found["checks"].append(one)
        found["problems"] += [f"rebuild: {p}" for p in one["problems"]]
        found["ok"] = not found["problems"]
    result(found, json_, lambda: verification(found), quiet)
    if not found["ok"]:
        raise typer.Exit(1)


def sign(
    build: BuildDir = None,
    key: Annotated[
        Path,
        typer.Option(help="A private SSH key, or its .pub where an agent holds it.", metavar="KEY", show_default=False),
    ] = ...,  # type: ignore[assignment]
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Sign a build's checksums with an SSH key: SHA256SUMS.sig; `verify --signed-by` checks it."""
    from instdata.builds import find_build
    from instdata.publish.signature import sign as signature

    folder = find_build(build)
    made = signature(folder, key)
    result({"build": str(folder), "signature": str(made)}, json_, lambda: print(plain(str(made))), quiet)
