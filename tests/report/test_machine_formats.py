"""JSON, SARIF and what CI servers read."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import msgspec
import pytest

from nograd_lint.diagnostics import Edit, Evidence, FileResult, Fix, Problem
from nograd_lint.report import render
from nograd_lint.report.run import Run, rule_url

from .samples import TRACKED, span

SCHEMA = json.loads((Path(__file__).parent.parent / "data/sarif-schema-2.1.0.json").read_text("utf-8"))

# --- JSON -----------------------------------------------------------------------------------------------------------


def test_json_is_the_documented_list(run: Run) -> None:
    first, second, notebook = json.loads(render(run, "json"))
    assert first == {
        "code": "NGL101",
        "name": "tracked-evaluation",
        "message": "`evaluate` runs `model` with gradient tracking on",
        "severity": "warning",
        "confidence": "high",
        "filename": "pkg/evaluate.py",
        "function": "evaluate",
        "location": {"row": 8, "column": 24},
        "end_location": {"row": 8, "column": 32},
        "region": {"location": {"row": 7, "column": 5}, "end_location": {"row": 8, "column": 33}},
        "cell": None,
        "evidence": [
            {
                "message": "the model is put in evaluation mode",
                "filename": "pkg/evaluate.py",
                "location": {"row": 5, "column": 5},
                "end_location": {"row": 5, "column": 17},
            },
            {
                "message": "called with gradients on: models[0](x), 100 % of it",
                "filename": "pkg/guarded.py",
                "location": {"row": 2, "column": 5},
                "end_location": {"row": 2, "column": 17},
            },
        ],
        "fix": {
            "applicability": "safe",
            "message": "put `@torch.no_grad()` above `evaluate`",
            "edits": [
                {
                    "content": "@torch.no_grad()\n",
                    "location": {"row": 4, "column": 1},
                    "end_location": {"row": 4, "column": 1},
                }
            ],
        },
        "url": rule_url("NGL101"),
        "fingerprint": "0123456789abcdef",
        "measured": None,
    }
    assert second["evidence"] == []
    assert notebook["cell"] == 3
    assert notebook["location"] == {"row": 2, "column": 5}  # within the cell
    assert notebook["evidence"][0]["cell"] == 2
    assert notebook["evidence"][0]["location"] == {"row": 1, "column": 1}
    assert notebook["fix"]["edits"][0]["cell"] == 3


def test_json_lines_hold_the_same(run: Run) -> None:
    lines = render(run, "json-lines").splitlines()
    assert [json.loads(line) for line in lines] == json.loads(render(run, "json"))


def test_json_of_nothing_is_an_empty_list(tmp_path: Path) -> None:
    assert json.loads(render(Run([], root=tmp_path, cwd=tmp_path), "json")) == []
    assert render(Run([], root=tmp_path, cwd=tmp_path), "json-lines") == ""


def test_measured_and_suppressed_are_told(run: Run) -> None:
    figures = {"verdict": "confirmed", "saved": {"A": 1, "B": 0}}
    full = replace(run, measured={TRACKED.fingerprint: figures}, show_suppressed=True)
    records = json.loads(render(full, "json"))
    assert records[0]["measured"] == figures
    assert records[-1]["suppressed"] == {"by": "inline", "reason": "by design"}
    assert [record["fingerprint"] for record in json.loads(render(run, "json"))].count("ffff") == 0


# --- SARIF ----------------------------------------------------------------------------------------------------------


def sarif(run: Run) -> dict[str, Any]:
    log = json.loads(render(run, "sarif"))
    jsonschema.Draft7Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(log)
    [one] = log["runs"]
    assert isinstance(one, dict)
    return one


def test_sarif_is_valid_and_complete(run: Run, project: Path) -> None:
    one = sarif(replace(run, exit_code=2, show_suppressed=True))
    driver = one["tool"]["driver"]
    assert one["columnKind"] == "unicodeCodePoints"
    assert one["originalUriBaseIds"]["%SRCROOT%"]["uri"] == project.as_uri() + "/"
    for rule in driver["rules"]:  # what GitHub requires, none of it empty
        assert rule["id"]
        assert rule["helpUri"]
        assert rule["shortDescription"]["text"]
        assert 0 < len(rule["fullDescription"]["text"]) <= 1024
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
        assert rule["properties"]["tags"]
    assert [(rule["id"], rule["properties"]["precision"]) for rule in driver["rules"]] == [
        ("NGL101", "high"),
        ("NGL103", "low"),
        ("NGL302", "medium"),
    ]
    assert [result["level"] for result in one["results"]] == ["warning", "error", "note", "warning"]
    for result in one["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["partialFingerprints"]["primaryLocationLineHash"]
        # Spec 3.29.5: the context holds the region.
        place = result["locations"][0]["physicalLocation"]
        assert place["contextRegion"]["startLine"] <= place["region"]["startLine"]
        assert place["contextRegion"]["endLine"] >= place["region"]["endLine"]
    assert one["results"][3]["suppressions"] == [
        {"kind": "inSource", "status": "accepted", "justification": "by design"}
    ]
    [invocation] = one["invocations"]
    assert invocation["executionSuccessful"] is False
    [notification] = invocation["toolExecutionNotifications"]
    assert notification["message"]["text"] == "file not found"
    assert notification["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "pkg/gone.py"


def test_sarif_evidence_is_linked_from_the_message(run: Run) -> None:
    result = sarif(run)["results"][0]
    related = {place["id"]: place for place in result["relatedLocations"]}
    links = re.findall(r"\[((?:\\.|[^\]\\])*)\]\((\d+)\)", result["message"]["text"])
    assert [int(number) for _, number in links] == list(related) == [1, 2]
    assert links[1][0] == r"called with gradients on: models\[0\](x), 100 % of it"
    assert related[2]["physicalLocation"]["artifactLocation"]["uri"] == "pkg/guarded.py"


def test_code_in_a_sarif_message_is_no_link(run: Run) -> None:
    message = msgspec.structs.replace(TRACKED, message="`models[0](x)` is tracked", evidence=())
    result = sarif(replace(run, results=[FileResult("pkg/evaluate.py", (message,))]))["results"][0]
    assert "](" not in result["message"]["text"]


def test_sarif_fixes_are_replacements_of_the_file(run: Run) -> None:
    tracked, not_called, notebook, *_ = sarif(run)["results"]
    [change] = tracked["fixes"][0]["artifactChanges"]
    assert change["artifactLocation"] == {"uri": "pkg/evaluate.py", "uriBaseId": "%SRCROOT%"}
    assert change["replacements"] == [
        {
            "deletedRegion": {"startLine": 4, "startColumn": 1, "endLine": 4, "endColumn": 1},
            "insertedContent": {"text": "@torch.no_grad()\n"},
        }
    ]
    assert not_called["fixes"][0]["properties"] == {"applicability": "unsafe"}
    assert "fixes" not in notebook


def test_sarif_paths_are_uris(run: Run, project: Path) -> None:
    strange = project / "a b#%" / "été.py"
    strange.parent.mkdir()
    strange.write_text("x\n", encoding="utf-8")
    diagnostic = msgspec.structs.replace(TRACKED, filename="a b#%/été.py", evidence=(), fix=None, span=span(1, 1, 1, 2))
    found = replace(run, results=[FileResult("a b#%/été.py", (diagnostic,))])
    location = sarif(found)["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert location == {"uri": "a%20b%23%25/%C3%A9t%C3%A9.py", "uriBaseId": "%SRCROOT%"}
    outside = sarif(replace(found, cwd=project / "pkg"))["results"][0]["locations"][0]["physicalLocation"]
    assert outside["artifactLocation"] == {"uri": strange.resolve().as_uri()}


def test_sarif_of_a_clean_run(run: Run) -> None:
    one = sarif(replace(run, results=[FileResult("pkg/evaluate.py")]))
    assert one["results"] == []
    assert [rule["id"] for rule in one["tool"]["driver"]["rules"]] == ["NGL101"]
    assert one["invocations"][0]["executionSuccessful"] is True


# --- CI servers -----------------------------------------------------------------------------------------------------


def test_a_notebook_is_marked_where_its_json_holds_the_code(run: Run, project: Path) -> None:
    rows = (project / "pkg/study.ipynb").read_text("utf-8").split("\n")
    region = sarif(run)["results"][2]["locations"][0]["physicalLocation"]["region"]
    assert rows[region["startLine"] - 1].strip() == '"p = model(x)"'
    assert f"line={region['startLine']},endLine={region['startLine']}," in render(run, "github")
    evidence = sarif(run)["results"][2]["relatedLocations"][0]["physicalLocation"]["region"]
    assert rows[evidence["startLine"] - 1].strip() == '"model.eval()\\n",'


def test_github_annotations(run: Run) -> None:
    lines = render(run, "github").splitlines()
    assert lines[0] == (
        "::warning file=pkg/evaluate.py,line=8,endLine=8,col=24,endColumn=32,"
        "title=NGL101 tracked-evaluation (high confidence)::"
        "`evaluate` runs `model` with gradient tracking on%0A"
        "pkg/evaluate.py:5:5: the model is put in evaluation mode%0A"
        "pkg/guarded.py:2:5: called with gradients on: models[0](x), 100 %25 of it%0A"
        "Fix (safe): put `@torch.no_grad()` above `evaluate`"
    )
    assert [line.split(" ")[0] for line in lines] == ["::warning", "::error", "::notice", "::error"]
    assert lines[3] == "::error file=pkg/gone.py,title=nograd-lint::file not found"


def test_github_properties_and_messages_are_escaped_differently(run: Run, project: Path) -> None:
    name = "a,b:c%.py"
    (project / name).write_text("x\ny\n")
    diagnostic = msgspec.structs.replace(
        TRACKED, filename=name, message="a, b: 5 %\r\nc", evidence=(), fix=None, span=span(1, 1, 2, 1)
    )
    [line] = render(replace(run, results=[FileResult(name, (diagnostic,))]), "github").splitlines()
    assert "file=a%2Cb%3Ac%25.py,line=1,endLine=2,title=" in line  # no columns over several lines
    assert line.endswith("::a, b: 5 %25%0D%0Ac")


def test_gitlab_code_quality(run: Run) -> None:
    doubled = [*run.results, FileResult("pkg/evaluate.py", (TRACKED,))]
    issues = json.loads(render(replace(run, results=doubled), "gitlab"))
    assert [issue["severity"] for issue in issues] == ["major", "critical", "minor", "major", "blocker"]
    assert issues[0]["location"] == {
        "path": "pkg/evaluate.py",
        "positions": {"begin": {"line": 8, "column": 24}, "end": {"line": 8, "column": 32}},
    }
    assert issues[0]["check_name"] == "NGL101 tracked-evaluation"
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)  # GitLab drops doubles


def test_junit(run: Run) -> None:
    suites = ElementTree.fromstring(render(run, "junit"))
    assert {key: suites.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "4",
        "failures": "3",
        "errors": "1",
    }
    case = suites.find("testsuite[@name='pkg/evaluate.py']/testcase")
    assert case is not None
    assert (case.get("classname"), case.get("line")) == ("pkg.evaluate", "8")
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == TRACKED.message
    error = suites.find("testsuite[@name='pkg/gone.py']/testcase/error")
    assert error is not None
    assert error.get("message") == "file not found"


def test_junit_of_a_clean_run_has_a_test_that_passed(tmp_path: Path) -> None:
    suites = ElementTree.fromstring(render(Run([FileResult("a.py")], root=tmp_path, cwd=tmp_path), "junit"))
    assert (suites.get("tests"), suites.get("failures")) == ("1", "0")
    assert suites.find("testsuite/testcase") is not None


def test_junit_survives_what_xml_cannot_hold(run: Run) -> None:
    diagnostic = msgspec.structs.replace(TRACKED, message="a\x00b\x1b<&>\ud800")
    suites = ElementTree.fromstring(
        render(replace(run, results=[FileResult("pkg/evaluate.py", (diagnostic,))]), "junit")
    )
    failure = suites.find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.get("message") == "a\ufffdb\ufffd<&>\ufffd"


@pytest.mark.parametrize("output_format", ["sarif", "github", "gitlab", "junit"])
def test_problems_of_the_run_itself_are_told(output_format: str, tmp_path: Path) -> None:
    run = Run([], root=tmp_path, cwd=tmp_path, problems=(Problem("", "internal error: boom", internal=True),))
    assert "internal error: boom" in render(run, output_format)


def test_places_beyond_the_file_do_not_stop_a_report(run: Run) -> None:
    """A file may have changed since it was linted."""
    far = span(900, 5, 901, 9)
    edit = Fix(TRACKED.fix.applicability, "far", (Edit("x", far),)) if TRACKED.fix else None
    for filename in ("pkg/evaluate.py", "pkg/study.ipynb", "pkg/none.ipynb"):
        diagnostic = msgspec.structs.replace(
            TRACKED, filename=filename, span=far, region=far, evidence=(Evidence("there", filename, far),), fix=edit
        )
        late = replace(run, results=[FileResult(filename, (diagnostic,))])
        for output_format in ("text", "concise", "json", "github", "gitlab", "junit"):
            assert "NGL101" in render(late, output_format)
        assert sarif(late)["results"]
