"""A headless browser for tests, and pictures of a report's sections for the README:

python tests/report/chromium.py builds/belle/report.html docs/images/report.png --sections funnel abilities
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--lang=en-US"]  # fmt: skip
MOST = 300_000  # bytes of a picture in the README


def find() -> str | None:
    """The browser's program, None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def shoot(page: Path, out: Path, sections: list[str], width: int = 1200, height: int = 900, dark: bool = False) -> None:
    """Write a picture of some sections of a report (none: its start). Raises ValueError where it is larger than
    MOST."""
    text = page.read_text("utf-8")
    if sections:
        others = "".join(f":not(#{name})" for name in sections)
        text = text.replace("</head>",
            f"<style>main > *{others} {{ display: none; }} nav {{ display: none; }} h2 {{ margin-top: 1.5rem; }}</style></head>", 1)  # fmt: skip
    look = ["--blink-settings=preferredColorScheme=0"] if dark else []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "page.html"
        copy.write_text(text, encoding="utf-8")
        made = Path(folder) / "page.png"
        size = [f"--window-size={width},{height}", "--virtual-time-budget=20000", f"--screenshot={made}"]
        command = [find() or "chromium", *FLAGS, *look, *size, f"--user-data-dir={folder}/profile", copy.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        if made.stat().st_size > MOST:
            raise ValueError(f"{out}: {made.stat().st_size:,} bytes, more than {MOST:,}: choose a smaller window")
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sections", nargs="*", default=[])
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--dark", action="store_true")
    given = parser.parse_args()
    shoot(given.page, given.out, given.sections, given.width, given.height, given.dark)
