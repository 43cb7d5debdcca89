"""What the docs site adds to docs/: reference.md, read from the program as `instdata agent context` is."""

from __future__ import annotations

from typing import Any


def reference() -> str:
    """Every command, step, source key and exit code, as Markdown."""
    from instdata.cli.help_and_reference import describe
    from instdata.cli.main import app
    from instdata.read.source_options import Source

    found = describe(app)
    lines = [
        "# Reference",
        "",
        "Read from the program when this site is built; `instdata agent context` prints it shortly.",
        "",
    ]
    lines += ["## Exit codes", "", "| code | |", "|---|---|"]
    lines += [f"| {code} | {_cell(text)} |" for code, text in found["exit_codes"].items()]
    lines += ["", "## Commands", ""]
    for name, command in found["commands"].items():
        lines += [
            f"### instdata {name}",
            "",
            f"    instdata {' '.join([name, *command['arguments']])}",
            "",
            _text(command["does"]),
            "",
        ]
        lines += ["| option | |", "|---|---|"]
        lines += [
            f"| `{_code(o['option'])}`{' (required)' if o.get('required') else ''} | {_cell(o['help'])} |"
            for o in command["options"]
        ]
        lines += ["", f"Next: {_text(command['next'])}." if command["next"] else "", ""]
    lines += ["## Steps", ""]
    for kind, step in found["steps"].items():
        lines += [f"### {kind}", "", _text(step["does"]), "", "| option | default | |", "|---|---|---|"]
        for o in step["options"]:
            default = (
                "required"
                if o.get("required")
                else ""
                if o["default"] in (None, "", [], {})
                else f"`{_code(str(o['default']))}`"
            )
            words = f" One of {', '.join(o['choices'])}." if o.get("choices") else ""
            lines.append(f"| `{o['option']}` | {default} | {_cell(o['help'] + words)} |")
        lines.append("")
    lines += ["## Keys of a source", "", "| key | |", "|---|---|"]
    lines += [f"| `{f.alias or n}` | {_cell(f.description or '')} |" for n, f in Source.model_fields.items()]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return _text(" ".join(text.split())).replace("|", "\\|")


def _code(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")


def _text(text: str) -> str:
    """Text with nothing that Markdown takes for a link or a tag."""
    return text.replace("[", "\\[").replace("<", "&lt;")


def on_files(files: Any, config: Any) -> Any:
    """mkdocs asks which files there are: one more."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "reference.md", content=reference()))
    return files
