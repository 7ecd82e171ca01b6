"""The confirm step runs programs with the torch of the interpreter that runs the tests."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

NEEDS_TORCH = find_spec("torch") is None
WITHOUT_TORCH = ("test_parts.py",)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than a few seconds; left out unless asked for with -m")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    mine = [item for item in items if here in item.path.parents]
    for item in mine:
        if NEEDS_TORCH and item.path.name not in WITHOUT_TORCH:
            item.add_marker(pytest.mark.skip(reason="torch is not installed"))
        elif item.get_closest_marker("slow") and "slow" not in (config.getoption("-m") or ""):
            item.add_marker(pytest.mark.skip(reason="slow; run with -m slow"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, and the working directory."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    return root
