from pathlib import Path
from instdata.errors import MissingExtra


def write_report(folder: Path) -> Path:
    raise MissingExtra("report.html", "report")
