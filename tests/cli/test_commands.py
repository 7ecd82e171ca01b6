"""The other commands: rule, config, baseline, clean, and what may be missing."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

import nograd_lint
from nograd_lint.rules.registry import all_rules

from .conftest import CLEAN, EVALUATE, Cli


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version") == (0, f"nograd-lint {nograd_lint.__version__}\n", "")
    assert cli("-V") == cli("--version")
    for args in ((), ("--help",), ("-h",)):
        code, out, err = cli(*args)
        assert (code, err) == (0, "")
        assert "Commands:\n  check " in out
    assert "--explain-silence PATH:LINE" in cli("check", "--help").out


# --- rule -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["NGL101", "ngl101", "tracked-evaluation"])
def test_rule_by_code_and_name(cli: Cli, word: str) -> None:
    code, out, _ = cli("rule", word)
    assert code == 0
    assert out.startswith("NGL101 tracked-evaluation\nwarning · on by default · ")
    assert "\nWHY IS THIS BAD?\n" in out
    assert "\nReported:\n\n    import torch\n\n\n    def evaluate(" in out  # code keeps its blank lines
    assert "```" not in out


def test_rule_tables_and_all(cli: Cli) -> None:
    codes = list(all_rules())
    assert [line.split()[0] for line in cli("rule").out.splitlines()] == codes
    records = json.loads(cli("rule", "--all", "--output-format", "json").out)
    assert [record["code"] for record in records] == codes
    one = json.loads(cli("rule", "NGL101", "--output-format", "json").out)
    assert one == records[0]
    assert set(one) >= {"code", "name", "summary", "severity", "default", "fixable", "url", "explanation"}
    assert cli("rule", "NGL101", "--output-format", "markdown").out.startswith("# tracked-evaluation (NGL101)\n")
    assert cli("rule", "--all").out.count("\n\n─") == len(codes) - 1


def test_an_unknown_rule_gets_a_suggestion(cli: Cli) -> None:
    assert cli("rule", "trackd-evaluation") == (
        2,
        "",
        "nograd-lint: unknown rule `trackd-evaluation`; did you mean `tracked-evaluation`?\n",
    )


# --- config ---------------------------------------------------------------------------------------------------------


def test_config_shows_what_holds_here(project: Path, cli: Cli) -> None:
    (project / "nograd-lint.toml").write_text('min-confidence = "low"\n[per-file-ignores]\n"tests/*" = ["NGL101"]\n')
    out = cli("config").out
    assert out.startswith("# nograd-lint.toml; ")
    assert '\nmin-confidence = "low"\n' in out
    assert '\nper-file-ignores = {"tests/*" = ["NGL101"]}\n' in out
    assert '\nmin-confidence = "medium"\n' in cli("config", "--isolated").out


def test_config_explains_a_key(project: Path, cli: Cli) -> None:
    (project / "nograd-lint.toml").write_text('min-confidence = "low"\n')
    out = cli("config", "min-confidence").out
    assert '  default: "medium"\n  here:    "low"  (nograd-lint.toml)\n' in out
    report = json.loads(cli("config", "min-confidence", "--output-format", "json").out)
    assert report["keys"][0]["value"] == "low"
    assert cli("config", "min-confidense").err == (
        "nograd-lint: unknown key `min-confidense`; did you mean `min-confidence`?\n"
    )


# --- baseline -------------------------------------------------------------------------------------------------------


def test_a_baseline_lets_only_new_ones_through(project: Path, cli: Cli) -> None:
    code, out, _ = cli("baseline", "write")
    assert code == 0
    assert out.startswith("Wrote 1 diagnostic to nograd-lint-baseline.json; set `baseline = ")
    (project / "nograd-lint.toml").write_text('baseline = "nograd-lint-baseline.json"\n')
    assert cli("check") == (0, "No diagnostics in 2 files; 1 suppressed.\n", "")
    (project / "pkg/new.py").write_text(EVALUATE)
    code, out, _ = cli("check", "--output-format", "json")
    assert [diagnostic["filename"] for diagnostic in json.loads(out)] == ["pkg/new.py"]
    assert cli("baseline", "write").out == "Wrote 2 diagnostics to nograd-lint-baseline.json.\n"
    assert cli("check").code == 0


def test_a_baseline_of_some_files_keeps_the_others(project: Path, cli: Cli) -> None:
    (project / "pkg/new.py").write_text(EVALUATE)
    cli("baseline", "write")
    (project / "pkg/new.py").write_text(CLEAN)
    assert cli("baseline", "write", "pkg/new.py").out.startswith("Wrote 1 diagnostic ")
    assert cli("check", "--baseline", "nograd-lint-baseline.json").code == 0


def test_a_baseline_is_pruned_of_what_has_gone(project: Path, cli: Cli) -> None:
    (project / "pkg/new.py").write_text(EVALUATE)
    cli("baseline", "write")
    (project / "pkg/new.py").unlink()
    assert cli("baseline", "prune").out == "Took 1 out of nograd-lint-baseline.json, 1 remain.\n"
    # What an option hides has not gone.
    assert cli("baseline", "prune", "--ignore", "NGL101").out == (
        "Took 0 out of nograd-lint-baseline.json, 1 remain.\n"
    )
    assert cli("baseline", "show").out == (
        "nograd-lint-baseline.json: 1 diagnostic\n\n"
        "by rule\n     1  NGL101 tracked-evaluation\n\n"
        "by file\n     1  pkg/evaluate.py\n"
    )
    entries = json.loads(cli("baseline", "show", "--output-format", "json").out)["diagnostics"]
    assert entries[0]["filename"] == "pkg/evaluate.py"


@pytest.mark.parametrize("command", ["prune", "show"])
def test_a_missing_or_broken_baseline_is_one_line(project: Path, cli: Cli, command: str) -> None:
    code, out, err = cli("baseline", command)
    assert (code, out) == (2, "")
    assert err.endswith("nograd-lint-baseline.json: file not found\n")
    (project / "nograd-lint-baseline.json").write_text("{")
    code, out, err = cli("baseline", command)
    assert (code, out) == (2, "")
    assert "not valid JSON" in err
    assert err.count("\n") == 1


# --- clean ----------------------------------------------------------------------------------------------------------


def test_clean_removes_a_cache_and_nothing_else(project: Path, cli: Cli) -> None:
    cache = project / ".nograd_lint_cache"
    cache.mkdir()
    (cache / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert cli("clean") == (0, "Removed .nograd_lint_cache.\n", "")
    assert not cache.exists()
    assert cli("clean") == (0, "No cache at .nograd_lint_cache.\n", "")
    assert cli("clean", "--cache-dir", "pkg").code == 2
    assert (project / "pkg/evaluate.py").is_file()


# --- what may be missing --------------------------------------------------------------------------------------------


@pytest.mark.skipif(importlib.util.find_spec("pygls") is not None, reason="pygls is installed")
def test_the_server_says_what_it_needs(cli: Cli) -> None:
    code, out, err = cli("server")
    assert (code, out) == (2, "")
    assert err.startswith("nograd-lint: ")
    assert err.count("\n") == 1


def test_server_options_that_exclude_each_other(cli: Cli) -> None:
    assert cli("server", "--stdio", "--tcp").err == "nograd-lint: --stdio and --tcp exclude each other\n"
