"""report.html: one page that shows a build, self-contained, without network."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from instdata.builds import manifest as read_manifest
from instdata.builds import recipe_of
from instdata.corpus.read_build_folder import run_record
from instdata.report import build_charts, build_facts, curve_and_effect_charts, curves_and_effects
from instdata.report.funnel import HIGH, WIDE, flow
from instdata.report.score_histograms import histograms
from instdata.util.atomic import write_text
from instdata.util.checksums import write_sum
from instdata.util.safe_text import visible

HERE = Path(__file__).parent
LONGEST = 4000  # characters of one value on a page; row texts are cut before


def write_report(folder: Path) -> Path:
    """Write report.html of a build folder; returns its path. The same folder and cache give the same bytes. Raises
    MissingExtra where vl-convert is absent."""
    path = folder / "report.html"
    write_text(path, page(folder))
    write_sum(folder, path.name)
    return path


def page(folder: Path, private: bool = True) -> str:
    """The page as text. With private=False it shows no row's text, for publishing: counts and charts alone."""
    build_charts.require()
    return render(gather(folder, private))


def render(found: dict[str, Any]) -> str:
    """The page of what `gather` found."""
    specs = build_charts.specs(found)
    specs.pop("funnel", None)  # for pictures; the page has the flow
    if found["curves"]:
        specs |= curve_and_effect_charts.specs(found["curves"]["views"], "curves")
    for i, ablation in enumerate(found["ablations"]):
        specs |= curve_and_effect_charts.ablation_specs(ablation, f"ablation{i}")
    return _render("build_report.html", found["manifest"]["name"], specs, found)


def ablation_page(folder: Path) -> Path:
    """Write report.html of an ablation's folder, where its effects.json lies; returns its path. Raises InputError where
    files are missing or not as the harness writes them, MissingExtra where vl-convert is absent."""
    build_charts.require()
    found = curves_and_effects.read_ablation(folder)
    text = _render(
        "ablation.html", found["name"], curve_and_effect_charts.ablation_specs(found, "ablation0"), {"a": found}
    )
    path = folder / "report.html"
    write_text(path, text)
    return path


def write_page(path: Path, template: str, title: str, found: dict[str, Any]) -> None:
    """Write a page without charts, from one of our templates: it needs no extra."""
    write_text(path, _render(template, title, {}, found))


def _render(template: str, title: str, specs: dict[str, Any], found: dict[str, Any]) -> str:
    return (
        environment()
        .get_template(template)
        .render(
            **found,
            title=title,
            charts=specs,
            vega=build_charts.vega_script() if specs else "",
            css=(HERE / "page.css").read_text("utf-8"),
            js=(HERE / "page.js").read_text("utf-8"),
        )
    )


def gather(folder: Path, private: bool = True) -> dict[str, Any]:
    """Everything that the page shows, as plain data."""
    manifest = read_manifest(folder)
    run = run_record(folder)
    with build_facts.open_ledger(folder, manifest) as db:
        groups, duplicates = build_facts.dropped(db, [s["name"] for s in manifest["steps"]]), build_facts.duplicates(db)
        rids = _shown(groups, duplicates) if private else set()
        rows = build_facts.rows_by_rid(db, folder, rids, manifest["steps"]) if rids else {}
        return {
            "private": private,
            "manifest": manifest,
            "totals": manifest["totals"],
            "steps": manifest["steps"],
            "configs": manifest["configs"],
            "seconds": run.get("seconds") if private else None,
            "spent": _spent(run, private),
            "groups": groups,
            "duplicates": duplicates,
            "rows": rows,
            "flow": {"parts": flow(manifest), "wide": WIDE, "high": HIGH},
            "abilities": build_facts.abilities(db),
            "by_source": build_facts.by_source(db),
            "scores": histograms(db, manifest, recipe_of(folder)),
            "confusion": build_facts.confusion(db, manifest),
            "languages": build_facts.languages(db),
            "lengths": build_facts.lengths(folder, manifest["configs"]["full"]["files"]),
            "curves": curves_and_effects.read_curves(folder),
            "ablations": [
                a | {"views": a["views"][:1]} for a in curves_and_effects.read_ablations(folder)
            ],  # all: its own page
        }


def _shown(groups: list[dict[str, Any]], duplicates: dict[str, Any]) -> set[str]:
    rids = {r for g in groups for r in (*g["rids"], *g["others"], *g["kept"])}
    rids |= {r for c in duplicates["clusters"] for r in (c["rid"], *c["rids"])}
    return rids | {r for p in duplicates["close"] for r in (p["rid"], p["other"])}


def _spent(run: dict[str, Any], private: bool) -> list[dict[str, Any]]:
    """A line a step: seconds (they change with every run, so they are not published), and what its models used."""
    usage, seconds = run.get("usage", {}), run.get("steps", {}) if private else {}
    names = list(dict.fromkeys([*seconds, *usage]))
    return [{"step": n, "seconds": seconds.get(n), **usage.get(n, {})} for n in names]


@cache
def environment() -> Any:
    """The templates beside this file, every value in them escaped."""
    from markupsafe import Markup

    from instdata.util import templates

    def as_json(value: Any) -> Markup:
        """JSON that may stand in a <script> element: nothing in it can end the element."""
        text = json.dumps(_visible(value), ensure_ascii=False, sort_keys=True)
        for char in "<>&\u2028\u2029":
            text = text.replace(char, f"\\u{ord(char):04x}")
        return Markup(text)  # noqa: S704 (every character that means something to HTML is escaped above)

    env = templates.environment(
        HERE, HERE, autoescape=True, finalize=lambda value: _shown_text(value) if type(value) is str else value
    )  # Markup is ours
    env.globals["rules_zh"] = json.loads((HERE / "rule_meanings.zh.json").read_text("utf-8"))
    env.filters |= {
        "json": as_json,
        "n": lambda n: f"{n:,}",
        "share": _share,
        "score": _score,
        "bound": lambda value: f"{value:,.6g}",
        "fixed": lambda value, digits=3: "" if value is None else f"{value:.{digits}f}".replace("-", "\u2212"),
        "signed": lambda value, digits=3: "" if value is None else f"{value:+.{digits}f}".replace("-", "\u2212"),
        "colours": curve_and_effect_charts.colours,
    }
    return env


def _visible(value: Any) -> Any:
    """Plain data with what its texts hide spelled out."""
    if isinstance(value, dict):
        return {_visible(k): _visible(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_visible(v) for v in value]
    return visible(value) if isinstance(value, str) else value


def _shown_text(text: str) -> str:
    """A text of a page: `visible`, and at most as long as the longest turn that a page shows."""
    return visible(text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text):,} characters)")


def _share(part: int, whole: int) -> str:
    """A share in per cent; one that is not nothing is not shown as nothing."""
    if not whole:
        return ""
    return "< 0.1 %" if 0 < part / whole < 0.0005 else f"{100 * part / whole:.1f} %"


def _score(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 120 else text[:120] + "…"
