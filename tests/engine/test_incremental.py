"""After any edit, what is known from before gives the results of a run that knows nothing.

More sequences of edits than the usual few::

    NOGRAD_LINT_SEQUENCES=1000 python -m pytest tests/engine/test_incremental.py -k sequence -n auto
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import msgspec
import pytest

from nograd_lint import linter, parallel
from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Confidence, FileResult
from nograd_lint.engine import Engine
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Selection, Settings
from tests.engine import edits

SEQUENCES = int(os.environ.get("NOGRAD_LINT_SEQUENCES", "6"))
STEPS = int(os.environ.get("NOGRAD_LINT_STEPS", "6"))


def engine(root: Path, *, use_cache: bool = False, thorough: bool = True) -> Engine:
    resolver = Resolver(
        {code: (rule.name, rule.default) for code, rule in all_rules().items()},
        overrides={"min_confidence": Confidence.LOW} if thorough else None,
        selection=Selection(select=("ALL",)) if thorough else None,
    )
    return Engine(Settings(), root, resolver=resolver, use_cache=use_cache)


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def shown(results: list[FileResult]) -> object:
    return {r.filename: msgspec.to_builtins(r) for r in results}


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little there is to do, do it in several processes."""
    monkeypatch.setattr(parallel, "_WORTH_IT", 1)


@pytest.mark.usefixtures("forks")
@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_any_sequence_of_edits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """An engine that lives on, one that is told of each edit, one per run with a cache, by one or several processes."""
    choose = random.Random(seed)
    monkeypatch.setattr(linter, "_FEW", choose.choice((2, 200)))  # keep small changes, or not
    edits.project(tmp_path, choose.sample(edits.FIXTURES, 3))
    thorough = seed % 2 == 0  # by default less is looked at
    living = engine(tmp_path, thorough=thorough)
    told = engine(tmp_path, use_cache=True, thorough=thorough)
    told.check(files(tmp_path))
    for _ in range(STEPS):
        before = {path: path.read_bytes() for path in files(tmp_path)}
        for _ in range(choose.choice((1, 1, 1, 2, 4))):
            edits.mutate(choose, tmp_path)
        paths = files(tmp_path)
        after = {path: path.read_bytes() for path in paths}
        for path in sorted(before.keys() | after.keys()):
            if before.get(path) != after.get(path):
                told.update(path, choose.choice((None, after.get(path))))
        asked = paths if choose.random() < 0.7 else choose.sample(paths, k=max(1, len(paths) // 3))
        cold = shown(engine(tmp_path, thorough=thorough).check(asked))
        jobs = choose.choice((1, 1, 2))
        assert shown(engine(tmp_path, use_cache=True, thorough=thorough).check(asked, jobs=jobs)) == cold
        assert shown(living.check(asked, jobs=jobs)) == cold
        assert shown(told.check(asked)) == cold


def test_nothing_changed_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edits.project(tmp_path)
    for path in files(tmp_path):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    first = engine(tmp_path, use_cache=True).check(files(tmp_path))
    warm = engine(tmp_path, use_cache=True)
    assert warm.check(files(tmp_path)) == first
    [one] = warm._linters.values()
    assert one._world is None


def test_an_edit_judges_only_what_depends_on_it(tmp_path: Path) -> None:
    edits.project(tmp_path)
    living = engine(tmp_path)
    living.check(files(tmp_path))
    [one] = living._linters.values()
    known = dict(one.judged)
    model = tmp_path / "wasteful" / "model.py"
    model.write_text("# a remark\n" + model.read_text())
    living.check(files(tmp_path))
    again = {name for name, judged in one.judged.items() if judged is not known.get(name)}
    assert "wasteful/model.py" in again
    assert not {name for name in again if not name.startswith("wasteful/")}


def test_a_guard_removed_in_a_caller_brings_back_the_diagnostic_in_the_callee(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    helper, main = tmp_path / "helper.py", tmp_path / "main.py"
    helper.write_text(
        "import torch\n\n\ndef evaluate(model, loader):\n    model.eval()\n    right = 0\n    for x, y in loader:\n"
        "        right += (model(x).argmax(1) == y).sum().item()\n    return right\n"
    )
    guarded = (
        "import torch\nfrom helper import evaluate\n\n\ndef main(model, val_loader):\n    with torch.no_grad():\n"
        "        print(evaluate(model, val_loader))\n"
    )
    main.write_text(guarded)
    [before] = engine(tmp_path, use_cache=True).check([helper])
    main.write_text(guarded.replace("with torch.no_grad():", "if True:"))
    [after] = engine(tmp_path, use_cache=True).check([helper])
    assert [d.code for d in before.diagnostics] == []
    assert [d.code for d in after.diagnostics] == ["NGL101"]


def test_gradients_switched_off_by_what_an_import_imports(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "predict.py").write_text(
        "import torch\nimport first\n\n\ndef predict(model, x):\n    model.eval()\n"
        "    return model(x).argmax(1).tolist()\n"
    )
    (tmp_path / "first.py").write_text("import predict\nimport second\n")  # in a circle
    (tmp_path / "second.py").write_text("import first\nfrom settings import WIDTH\n")
    settings = tmp_path / "settings.py"
    for use_cache in (False, True):
        living = engine(tmp_path, use_cache=use_cache)
        for switch, expected in ((True, []), (False, ["NGL101"]), (True, [])):
            settings.write_text("import torch\n\nWIDTH = 3\n" + "torch.set_grad_enabled(False)\n" * switch)
            for one in (living, engine(tmp_path, use_cache=use_cache)):
                [result] = one.check([tmp_path / "predict.py"])
                assert [d.code for d in result.diagnostics] == expected


def test_a_function_under_a_guard_is_judged_anew_when_what_it_calls_comes_to_train(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "evaluate.py").write_text(
        "import torch\nfrom steps import run\n\n\n@torch.no_grad()\ndef evaluate(model, x):\n    return run(model, x)\n"
    )
    (tmp_path / "steps.py").write_text("def run(model, x):\n    return model(x).sum()\n")
    for use_cache in (False, True):
        living = engine(tmp_path, use_cache=use_cache, thorough=False)
        (tmp_path / "steps.py").write_text("def run(model, x):\n    return model(x).sum()\n")
        assert not any(result.diagnostics for result in living.check(files(tmp_path)))
        (tmp_path / "steps.py").write_text("def run(model, x):\n    model(x).sum().backward()\n")
        again = engine(tmp_path, use_cache=True, thorough=False) if use_cache else living
        found = [d.code for result in again.check(files(tmp_path)) for d in result.diagnostics]
        assert found == ["NGL202"]


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes) -> None:
    edits.project(tmp_path)
    cold = engine(tmp_path, use_cache=True).check(files(tmp_path))
    cache = tmp_path / ".nograd_lint_cache" / "cache.sqlite"
    assert cache.exists()
    assert (cache.parent / "CACHEDIR.TAG").exists()
    assert (cache.parent / ".gitignore").read_text() == "*\n"
    cache.write_bytes(content)
    assert engine(tmp_path, use_cache=True).check(files(tmp_path)) == cold
    notice = capfd.readouterr().err
    assert notice.count("\n") == 1
    assert "cache.sqlite" in notice
    assert engine(tmp_path, use_cache=True).check(files(tmp_path)) == cold
    assert capfd.readouterr().err == ""


def test_contents_of_an_editor_are_not_kept(tmp_path: Path) -> None:
    edits.project(tmp_path)
    path = tmp_path / "wasteful" / "evaluate.py"
    paths = files(tmp_path)
    cold = engine(tmp_path, use_cache=True).check(paths)
    other = engine(tmp_path, use_cache=True).check(paths, contents={path: b"import torch\n"})
    assert other != cold
    assert engine(tmp_path, use_cache=True).check(paths) == cold


@pytest.mark.usefixtures("forks")
def test_several_processes_give_the_results_of_one(tmp_path: Path) -> None:
    edits.project(tmp_path)
    paths = files(tmp_path)
    assert engine(tmp_path).check(paths, jobs=3) == engine(tmp_path).check(paths)
    assert engine(tmp_path, use_cache=True).check(paths, jobs=2) == engine(tmp_path, use_cache=True).check(paths)


def test_neither_the_files_named_nor_their_order_matter(tmp_path: Path) -> None:
    edits.project(tmp_path)
    paths = files(tmp_path)
    together = {r.filename: r for r in engine(tmp_path).check(paths)}
    backwards = {r.filename: r for r in engine(tmp_path).check(paths[::-1])}
    alone = {r.filename: r for path in paths for r in engine(tmp_path).check([path])}
    assert together == backwards == alone
