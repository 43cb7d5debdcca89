"""report: a build's page, written or served."""

from __future__ import annotations

from typing import Annotated

import typer

from instdata.cli.common import AsJson, BuildDir, Quiet, result, sayer, serve
from instdata.util.safe_text import plain


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    build: BuildDir = None,
    serve_: Annotated[
        bool, typer.Option("--serve", help="Browse all rows, kept and dropped, in the browser; writes nothing.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of that page on 127.0.0.1; 0: a free one.")] = 0,
    json_: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write report.html of a build again: one page, no network. Or serve a page that browses all of its rows."""
    from instdata.builds import find_build
    from instdata.util.errors import InputError

    folder = find_build(build)
    if port and not serve_:
        raise InputError("--port belongs to --serve: add it, or leave --port out")
    if serve_:
        from instdata.report.browse.rows import Browsing
        from instdata.report.server import Server

        rows = Browsing(folder)
        shown = {"title": rows.manifest["name"], "totals": rows.manifest["totals"]}
        serve(Server("browse.html", shown, rows.answers(), port), json_, sayer(quiet))
        return
    from instdata.report.page import write_report

    sayer(quiet, "the report")
    page = write_report(folder)
    result({"report": str(page)}, json_, lambda: print(plain(page)), quiet)
