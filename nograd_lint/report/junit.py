"""JUnit XML: a test suite per file, a failed test case per diagnostic."""

from __future__ import annotations

import re
from xml.etree import ElementTree  # only writes

from nograd_lint.diagnostics import Diagnostic
from nograd_lint.report.run import Run

# XML 1.0 has no way to write these, not even escaped.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(run: Run) -> str:
    suites = ElementTree.Element("testsuites", name="nograd-lint")
    tests = failures = errors = 0
    for result in run.results:
        if not result.diagnostics and not result.problems:
            continue
        path = run.path(result.filename)
        suite = _suite(suites, path, len(result.diagnostics), len(result.problems), run)
        for diagnostic in result.diagnostics:
            _failure(suite, run, diagnostic, path)
        for problem in result.problems:
            _error(suite, path, problem.message)
        tests += len(result.diagnostics) + len(result.problems)
        failures += len(result.diagnostics)
        errors += len(result.problems)
    if run.problems:
        suite = _suite(suites, "nograd-lint", 0, len(run.problems), run)
        for problem in run.problems:
            _error(suite, run.path(problem.filename) if problem.filename else "nograd-lint", problem.message)
        tests += len(run.problems)
        errors += len(run.problems)
    if not tests:  # CI servers take a report without a test for a failed upload
        suite = ElementTree.SubElement(
            suites, "testsuite", {"name": "nograd-lint", "tests": "1", "failures": "0", "errors": "0"} | _timing(run)
        )
        ElementTree.SubElement(suite, "testcase", name="no diagnostics", classname="nograd-lint")
        tests = 1
    for key, value in {"tests": tests, "failures": failures, "errors": errors, "time": f"{run.seconds:.3f}"}.items():
        suites.set(key, str(value))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _suite(suites: ElementTree.Element, name: str, failures: int, errors: int, run: Run) -> ElementTree.Element:
    counts = {"tests": str(failures + errors), "failures": str(failures), "errors": str(errors)}
    return ElementTree.SubElement(suites, "testsuite", {"name": _legal(name)} | counts | _timing(run))


def _timing(run: Run) -> dict[str, str]:
    return {"timestamp": run.started.strftime("%Y-%m-%dT%H:%M:%S")}


def _case(suite: ElementTree.Element, path: str, name: str, **attributes: str) -> ElementTree.Element:
    classname = _legal(path.removesuffix(".py").replace("/", "."))
    return ElementTree.SubElement(
        suite, "testcase", {"name": _legal(name), "classname": classname, "file": _legal(path)} | attributes
    )


def _failure(suite: ElementTree.Element, run: Run, diagnostic: Diagnostic, path: str) -> None:
    where = run.shown(diagnostic.filename, diagnostic.span)
    line = run.source(diagnostic.filename).in_file(diagnostic.span).start.row
    name = f"{diagnostic.code} {diagnostic.name} in {diagnostic.function} at {str(where)[len(path) + 1 :]}"
    case = _case(suite, path, name, line=str(line))
    kind = f"{diagnostic.severity.value} ({diagnostic.confidence.value} confidence)"
    failure = ElementTree.SubElement(case, "failure", type=kind, message=_legal(diagnostic.message))
    lines = [f"{where}: {diagnostic.code} {diagnostic.message}"]
    lines += [f"  {run.shown(one.filename, one.span)}: {one.message}" for one in diagnostic.evidence]
    if diagnostic.fix is not None:
        lines.append(f"  fix ({diagnostic.fix.applicability.value}): {diagnostic.fix.message}")
    failure.text = _legal("\n".join(lines))


def _error(suite: ElementTree.Element, path: str, message: str) -> None:
    case = _case(suite, path, "check")
    ElementTree.SubElement(case, "error", message=_legal(message))


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
