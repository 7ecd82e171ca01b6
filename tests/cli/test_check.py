"""``nograd-lint check`` as users call it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nograd_lint.engine import Engine

from .conftest import EVALUATE, Cli, Stdin


def codes(report: str) -> list[str]:
    return [diagnostic["code"] for diagnostic in json.loads(report)]


@pytest.mark.parametrize("args", [(), (".",), ("pkg",), ("pkg/evaluate.py",), ("pkg/clean.py", "pkg/evaluate.py")])
def test_diagnostics_give_1(project: Path, cli: Cli, args: tuple[str, ...]) -> None:
    code, out, err = cli("check", *args)
    assert code == 1
    assert out.startswith("pkg/evaluate.py:8:18: NGL101 tracked-evaluation warning [high] ")
    assert "\n8 |         output = model(x)\n  |                  ^^^^^^^^\n" in out
    assert out.endswith("; 1 fixable with --fix.\n")
    assert err == ""


def test_clean_gives_0(project: Path, cli: Cli) -> None:
    assert cli("check", "pkg/clean.py") == (0, "No diagnostics in 1 file.\n", "")


def test_check_is_the_default_command(project: Path, cli: Cli) -> None:
    assert cli("pkg") == cli("check", "pkg")
    assert cli("--output-format", "json", "pkg") == cli("check", "--output-format", "json", "pkg")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--fail-on", "warning"), 1),
        (("--fail-on", "error"), 0),
        (("--exit-zero",), 0),
        (("--select", "NGL3"), 0),
        (("--ignore", "tracked-evaluation"), 0),
        (("--select", "ALL", "--ignore", "NGL1"), 0),
        (("--extend-ignore", "NGL101"), 0),
        (("--select", "NGL3", "--extend-select", "NGL101"), 1),
        (("--per-file-ignores", "pkg/*:NGL101"), 0),
        (("--per-file-ignores", "other/*:NGL101"), 1),
        (("--exclude", "pkg"), 0),
        (("--exclude", "pkg/eval*.py"), 0),
    ],
)
def test_options_choose_what_counts(project: Path, cli: Cli, args: tuple[str, ...], code: int) -> None:
    assert cli("check", *args).code == code


def test_exclude_is_relative_to_the_working_directory(project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "pkg/sub").mkdir()
    (project / "pkg/sub/evaluate.py").write_text(EVALUATE)
    monkeypatch.chdir(project / "pkg")
    report = cli("check", "--output-format", "json", "--exclude", "sub/*.py").out
    assert [diagnostic["filename"] for diagnostic in json.loads(report)] == ["evaluate.py"]


def test_an_excluded_file_that_is_named_needs_force_exclude(project: Path, cli: Cli) -> None:
    assert cli("check", "--exclude", "pkg", "pkg/evaluate.py").code == 1
    assert cli("check", "--exclude", "pkg", "--force-exclude", "pkg/evaluate.py").code == 0


# --- output ---------------------------------------------------------------------------------------------------------


def test_every_format(project: Path, cli: Cli) -> None:
    def report(output_format: str) -> str:
        code, out, err = cli("check", "--output-format", output_format)
        assert (code, err) == (1, "")
        return out

    [one] = json.loads(report("json"))
    assert (one["code"], one["filename"], one["function"]) == ("NGL101", "pkg/evaluate.py", "evaluate")
    assert json.loads(report("json-lines")) == one
    assert json.loads(report("sarif"))["runs"][0]["results"][0]["ruleId"] == "NGL101"
    assert json.loads(report("gitlab"))[0]["location"]["path"] == "pkg/evaluate.py"
    assert report("github").startswith("::warning file=pkg/evaluate.py,line=8,")
    assert ElementTree.fromstring(report("junit")).get("failures") == "1"
    assert report("concise").count("\n") == 2


def test_the_format_can_come_from_the_environment_and_the_configuration(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "nograd-lint.toml").write_text('output-format = "github"\n')
    assert cli("check").out.startswith("::warning")
    monkeypatch.setenv("NOGRAD_LINT_OUTPUT_FORMAT", "json")
    assert codes(cli("check").out) == ["NGL101"]
    assert cli("check", "--output-format", "concise").out.startswith("pkg/evaluate.py:8")
    monkeypatch.setenv("NOGRAD_LINT_OUTPUT_FORMAT", "yaml")
    code, out, err = cli("check")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


def test_output_file(project: Path, cli: Cli) -> None:
    target = project / "reports/report.json"
    code, out, err = cli("check", "--output-format", "json", "--output-file", str(target))
    assert (code, out, err) == (1, "", "")
    assert codes(target.read_text()) == ["NGL101"]
    assert [path.name for path in target.parent.iterdir()] == ["report.json"]


def test_an_output_file_that_cannot_be_written(project: Path, cli: Cli) -> None:
    code, _, err = cli("check", "--output-file", "pkg/clean.py/report.txt")
    assert code == 2
    assert err.startswith("nograd-lint: pkg/clean.py/report.txt: ")
    assert err.count("\n") == 1


def test_statistics(project: Path, cli: Cli) -> None:
    assert cli("check", "--statistics").out.startswith("1  NGL101  [*] tracked-evaluation\n")
    report = cli("check", "--statistics", "--output-format", "json").out
    assert json.loads(report) == [{"code": "NGL101", "name": "tracked-evaluation", "count": 1, "fixable": 1}]


def test_quiet_prints_diagnostics_alone(project: Path, cli: Cli) -> None:
    assert "Found" not in cli("check", "-q").out
    assert cli("check", "-q", "pkg/clean.py") == (0, "", "")


def test_colour_is_for_terminals_and_for_those_who_ask(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b[" not in cli("check").out
    assert "\x1b[" in cli("check", "--color", "always").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in cli("check").out
    assert "\x1b[" not in cli("check", "--output-format", "json").out
    assert "\x1b[" not in cli("check", "--color", "never").out
    cli("check", "--output-file", "report.txt")
    assert "\x1b[" not in (project / "report.txt").read_text()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in cli("check").out


# --- stdin ----------------------------------------------------------------------------------------------------------


def test_stdin(project: Path, cli: Cli, stdin: Stdin) -> None:
    stdin(EVALUATE)
    code, out, _ = cli("check", "-", "--stdin-filename", "pkg/new.py", "--output-format", "json")
    assert code == 1
    assert json.loads(out)[0]["filename"] == "pkg/new.py"
    stdin(EVALUATE)
    assert cli("check", "-").out.startswith("<stdin>:8:18: NGL101 ")


def test_stdin_reports_what_a_file_would(project: Path, cli: Cli, stdin: Stdin) -> None:
    stdin(EVALUATE)
    from_stdin = cli("check", "-", "--stdin-filename", "pkg/evaluate.py", "--output-format", "json")
    assert from_stdin == cli("check", "pkg/evaluate.py", "--output-format", "json")


def test_stdin_follows_the_configuration_of_its_filename(project: Path, cli: Cli, stdin: Stdin) -> None:
    (project / "nograd-lint.toml").write_text('extend-exclude = ["pkg"]\nforce-exclude = true\n')
    stdin(EVALUATE)
    assert cli("check", "-", "--stdin-filename", "pkg/evaluate.py").code == 0
    stdin(EVALUATE)
    assert cli("check", "-", "--stdin-filename", "elsewhere.py").code == 1


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--select", "NGL1O1"), "unknown rule `NGL1O1`; did you mean `NGL101`?"),
        (("--ignore", "traked-evaluation"), "did you mean `tracked-evaluation`?"),
        (("--min-confidence", "sure"), "'sure' is not one of 'high', 'medium', 'low'"),
        (("--fixx",), "--fixx"),
        (("--per-file-ignores", "NGL101"), "'NGL101' is not PATTERN:CODE[,CODE...]"),
        (("--explain-silence", "pkg/evaluate.py"), "is not PATH:LINE"),
        (("--config", "none.toml"), "none.toml: no such configuration file"),
        (("--config", "none.toml", "--isolated"), "exclude each other"),
        (("--show-fixes",), "--show-fixes needs --fix or --diff"),
        (("--reason", "x"), "--reason needs --add-suppressions"),
        (("--fix", "--add-suppressions"), "--fix and --add-suppressions exclude each other"),
        (("--stdin-filename", "a.py"), "--stdin-filename needs the path -"),
        (("-", "pkg"), "cannot be linted together"),
        (("--watch", "-"), "--watch works with neither"),
        (("--baseline", "none.json"), "none.json: file not found"),
    ],
)
def test_usage_errors_are_one_line_and_give_2(project: Path, cli: Cli, args: tuple[str, ...], message: str) -> None:
    code, out, err = cli("check", *args)
    assert (code, out) == (2, "")
    assert err.startswith("nograd-lint: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('min-confidance = "low"', "unknown key `min-confidance`; did you mean `min-confidence`?"),
        ('select = "NGL101"', "`select`"),
        ("select = [", "not valid TOML"),
        ('ignore = ["NGL999"]', "unknown rule `NGL999`"),
    ],
)
def test_configuration_errors_are_one_line_and_give_2(project: Path, cli: Cli, text: str, message: str) -> None:
    (project / "nograd-lint.toml").write_text(text)
    code, out, err = cli("check")
    assert (code, out) == (2, "")
    assert err.startswith("nograd-lint: nograd-lint.toml: ")
    assert message in err
    assert err.count("\n") == 1


def test_what_cannot_be_read_gives_2_and_the_rest_is_still_linted(project: Path, cli: Cli) -> None:
    (project / "pkg/latin.py").write_bytes(b"import torch\nx = '\xe9'\n")
    (project / "pkg/broken.ipynb").write_text("{")
    code, out, err = cli("check", "pkg", "none.py", "--output-format", "json")
    assert code == 2
    assert codes(out) == ["NGL101"]
    lines = err.splitlines()
    assert len(lines) == 3
    assert lines[0] == "nograd-lint: none.py: file not found"
    assert lines[1].startswith("nograd-lint: pkg/broken.ipynb: not a notebook: ")
    assert lines[2].startswith("nograd-lint: pkg/latin.py: cannot be decoded as utf-8: ")
    report = json.loads(cli("check", "none.py", "--output-format", "sarif").out)
    assert report["runs"][0]["invocations"][0]["exitCode"] == 2


def test_a_missing_file_elsewhere(project: Path, cli: Cli) -> None:
    missing = project / "none" / "none.py"
    assert cli("check", str(missing)).err == "nograd-lint: none/none.py: file not found\n"


def test_a_mistyped_command_is_recognised(project: Path, cli: Cli) -> None:
    assert cli("chekc").err == "nograd-lint: chekc: file not found; did you mean `check`?\n"


def test_an_internal_error_is_one_line(project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("several\nlines")

    monkeypatch.setattr(Engine, "check", fail)
    code, out, err = cli("check")
    assert (code, out) == (2, "")
    assert err.startswith("nograd-lint: internal error: RuntimeError: several lines at ")
    assert err.count("\n") == 1
    monkeypatch.setenv("NOGRAD_LINT_DEBUG", "1")
    with pytest.raises(RuntimeError):
        cli("check")


def test_an_interrupted_run_says_so(project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "check", interrupt)
    code, out, err = cli("check")
    assert (code, out, err.strip()) == (130, "", "nograd-lint: interrupted")


# --- suppressions ---------------------------------------------------------------------------------------------------


def test_add_suppressions(project: Path, cli: Cli) -> None:
    code, out, _ = cli("check", "--add-suppressions", "--reason", "known since May")
    assert (code, out) == (0, "Suppressed 1 diagnostic in 1 file.\n")
    text = (project / "pkg/evaluate.py").read_text()
    assert text == EVALUATE.replace("model(x)", "model(x)  # nograd: ignore[NGL101] known since May")
    assert cli("check") == (0, "No diagnostics in 2 files; 1 suppressed.\n", "")
    shown = cli("check", "--show-suppressed").out
    assert "  = suppressed (inline): known since May\n" in shown


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name = ", "is not TOML: "),
        ('name = "x"\nmodules = ["m"]\n[[hok]]\n', "unknown table 'hok' (did you mean 'hook'?)"),
    ],
)
@pytest.mark.parametrize("args", [(), ("--explain-silence", "pkg/evaluate.py:8")])
def test_a_knowledge_file_that_is_wrong(project: Path, cli: Cli, args: tuple[str, ...], text: str, reason: str) -> None:
    (project / "pyproject.toml").write_text('[tool.nograd-lint]\nknowledge = ["frameworks/own.toml"]\n')
    (project / "frameworks").mkdir()
    (project / "frameworks/own.toml").write_text(text)
    code, out, err = cli("check", "--no-cache", *args)
    assert (code, out) == (2, "")
    assert err.startswith(f"nograd-lint: frameworks/own.toml: {reason}")
    assert err.count("\n") == 1


# --- explain-silence ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((), "NGL101 tracked-evaluation [high] is reported"),
        (("--ignore", "NGL101"), "NGL101 tracked-evaluation [high] is off here"),
        (("--exclude", "pkg"), "the file is excluded, or ignored by git: it is linted only if it is named"),
    ],
)
def test_explain_silence(project: Path, cli: Cli, args: tuple[str, ...], reason: str) -> None:
    code, out, _ = cli("check", "--explain-silence", "pkg/evaluate.py:8", *args)
    assert code == 0
    assert f"pkg/evaluate.py:8: {reason}\n" in out


def test_explain_silence_of_a_suppressed_line_and_of_one_without_a_call(project: Path, cli: Cli) -> None:
    cli("check", "--add-suppressions", "--reason", "known")
    assert cli("check", "--explain-silence", "pkg/evaluate.py:8").out == (
        "pkg/evaluate.py:8: NGL101 tracked-evaluation [high] is suppressed by a comment (known)\n"
    )
    assert cli("check", "--explain-silence", "pkg/evaluate.py:6").out == (
        "pkg/evaluate.py:6: no rule finds anything there, with every rule on and at every confidence\n"
    )
    assert cli("check", "--explain-silence", "none.py:3").err == "nograd-lint: none.py: file not found\n"


OWN_FUNCTIONS = """\
import torch

from pkg.helpers import quietly, registered


def evaluate(test_loader):
    reader = registered("reader")
    with quietly():
        for x, _ in test_loader:
            print(reader(x).argmax(1).tolist())


def answer(pixels):
    reader = registered("reader")
    return reader(pixels).argmax(1).tolist()
"""
HELPERS = """\
import importlib

quiet = importlib.import_module("somewhere").quiet


def quietly():
    return quiet()


def registered(name):
    return importlib.import_module("elsewhere").registry[name]
"""


def test_the_configuration_declares_guards_and_models(project: Path, cli: Cli) -> None:
    (project / "pkg/__init__.py").write_text("")
    (project / "pkg/helpers.py").write_text(HELPERS)
    (project / "pkg/evaluate.py").write_text(OWN_FUNCTIONS)
    assert cli("check", "--no-cache").code == 0
    configuration = project / "nograd-lint.toml"
    configuration.write_text('models = ["pkg.helpers.registered"]\n')
    found = json.loads(cli("check", "--output-format", "json").out)
    assert [(d["code"], d["function"]) for d in found] == [("NGL101", "evaluate"), ("NGL101", "answer")]
    configuration.write_text('models = ["pkg.helpers.registered"]\nguards = [{ name = "pkg.helpers.quietly" }]\n')
    found = json.loads(cli("check", "--output-format", "json").out)
    assert [(d["code"], d["function"]) for d in found] == [("NGL101", "answer")]
