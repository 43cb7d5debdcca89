"""The planted build and the tiny model of the harness' tests, with a clean pool beside the noisy one."""

from __future__ import annotations

from tests.harness.conftest import home, planted, tiny_folder  # noqa: F401 (fixtures)
