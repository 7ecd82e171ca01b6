"""Figures of earlier confirmations, and when they are stale."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nograd_lint.cachedir import NAME
from nograd_lint.confirm import store

CODE = (
    "import torch\n\n\nclass A:\n    def f(self, x):\n        return x + 1\n\n\ndef g(x):\n    return x\n\n\nprint(1)\n"
)
RESULT = {
    "fingerprint": "abc", "filename": "m.py", "function": "A.f", "verdict": "confirmed", "reason": "bit_identical",
    "saved": {"A": 9, "B": 0, "sites": [1, 2]}, "peak": {"A": 9, "B": 1, "source": "profiler"},
    "held": {"A": 9, "B": 0, "growth_per_call": None, "growth_per_batch": None}, "time": None,
    "outputs": {"state": "bit_identical", "compared": 3},
}  # fmt: skip


def kept(root: Path, **changes: object) -> None:
    (root / "m.py").write_text(CODE)
    document = {"torch": "2.13.0", "device": "cpu", "date": "2026-01-01", "results": [{**RESULT, **changes}]}
    store.save(root, document, root)


def test_what_is_kept(tmp_path: Path) -> None:
    kept(tmp_path)
    assert store.load(tmp_path) == {
        "abc": {
            "verdict": "confirmed", "reason": "bit_identical", "saved": {"A": 9, "B": 0},
            "peak": {"A": 9, "B": 1, "source": "profiler"},
            "held": {"A": 9, "B": 0, "growth_per_call": None, "growth_per_batch": None}, "time": None,
            "outputs": {"state": "bit_identical", "compared": 3}, "torch": "2.13.0", "device": "cpu",
            "date": "2026-01-01", "stale": False,
        }
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / NAME).iterdir()) == [
        ".gitignore", "CACHEDIR.TAG", "confirm.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        (("x + 1", "x + 2"), True),
        (("x + 1", "(x+1)  # a comment"), False),
        (("import torch\n", "import torch\n\n\n"), False),
        (("return x\n", "return x + 9\n"), False),
        (("print(1)", "print(2)"), False),
        (("def f", "def h"), True),
        (("def f(self", "def f(self:"), True),
    ],
)
def test_a_change_of_the_function_makes_it_stale(tmp_path: Path, change: tuple[str, str], stale: bool) -> None:
    kept(tmp_path)
    (tmp_path / "m.py").write_text(CODE.replace(*change))
    assert store.load(tmp_path)["abc"]["stale"] is stale


def test_module_code_is_stale_when_module_code_changes(tmp_path: Path) -> None:
    kept(tmp_path, function="<module>")
    (tmp_path / "m.py").write_text(CODE.replace("x + 1", "x + 2"))
    assert store.load(tmp_path)["abc"]["stale"] is False
    (tmp_path / "m.py").write_text(CODE.replace("print(1)", "print(2)"))
    assert store.load(tmp_path)["abc"]["stale"] is True
    (tmp_path / "m.py").unlink()
    assert store.load(tmp_path)["abc"]["stale"] is True


def test_later_figures_replace_and_join_earlier_ones(tmp_path: Path) -> None:
    kept(tmp_path)
    kept(tmp_path, fingerprint="def")
    kept(tmp_path, verdict="refuted")
    kept(tmp_path, fingerprint="ghi", verdict="not_reached")
    assert {key: entry["verdict"] for key, entry in store.load(tmp_path).items()} == {
        "abc": "refuted", "def": "confirmed",
    }  # fmt: skip


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"version": 99, "entries": {}})])
def test_a_broken_store_is_an_empty_one(tmp_path: Path, content: str) -> None:
    path = store.place(tmp_path)
    path.parent.mkdir()
    path.write_text(content)
    assert store.load(tmp_path) == {}
    kept(tmp_path)
    assert list(store.load(tmp_path)) == ["abc"]


def test_reading_imports_nothing_heavy() -> None:
    code = "import sys, nograd_lint.confirm.store; print({'torch', 'psutil', 'libcst', 'click'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
