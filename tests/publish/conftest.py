"""A Hub on loopback, and the clients pointed at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import Hub


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub that huggingface_hub and datasets talk to, in this process and in those it starts. The clients read
    their environment when they are imported, so what they made of it is replaced too."""
    import datasets.config
    import huggingface_hub.constants as constants

    server = Hub()
    home = tmp_path_factory.mktemp("hf")
    for name, value in {"HF_ENDPOINT": server.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home), "HF_TOKEN": "hf_writer", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}.items():
        monkeypatch.setenv(name, value)
    _set(monkeypatch, constants, ENDPOINT=server.url, HUGGINGFACE_CO_URL_TEMPLATE=server.url + "/{repo_id}/resolve/{revision}/{filename}",
         HF_HUB_DISABLE_XET=True, HF_HUB_CACHE=str(home / "hub"), HF_TOKEN_PATH=str(home / "token"), HF_HUB_DISABLE_TELEMETRY=True)  # fmt: skip
    _set(monkeypatch, datasets.config, HF_ENDPOINT=server.url, HF_DATASETS_CACHE=Path(home / "datasets"), HUB_DATASETS_URL=server.url + "/datasets/{repo_id}/resolve/{revision}/{path}")
    yield server
    server.close()


def _set(monkeypatch: pytest.MonkeyPatch, module: object, **values: object) -> None:
    for name, value in values.items():
        monkeypatch.setattr(module, name, value)
