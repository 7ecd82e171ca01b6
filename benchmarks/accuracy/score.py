#!/usr/bin/env python3
"""Recall and false alarms of nograd-lint and its peers on the hand-made labels.

usage: score.py [TOOL ...] [-v] [--package NAME] [--write]

Tools: nograd-lint, torch-preflight, hotpath-ai, TorchFix (default: those that are installed; point $NGL, $TPF, $HPF
and $TFX at executables elsewhere). --write stores the figures in results.json and makes docs/accuracy.md from them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter, defaultdict
from typing import Any

from common import ECOSYSTEM, EXECUTABLES, HERE, TOOLS, Finding, ToolError, executable, labels, packages, tree, version

Label = dict[str, Any]
Row = dict[str, Any]
FAMILIES = ("missing", "training", "ineffective")
# reporting a guard that misses the forward says that the forward is tracked, too
ANSWERS = {"missing": {"missing", "ineffective"}, "training": {"training"}, "ineffective": {"ineffective"}}
RESULTS = HERE / "results.json"
PAGE = HERE.parent.parent / "docs" / "accuracy.md"
SLACK = 3  # lines between a report and the labelled region


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not total:
        return 0.0, 1.0
    share = hits / total
    middle = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def inside(finding: Finding, path: str, qualname: str) -> bool:
    within = finding.function == qualname or finding.function.startswith(qualname + ".")
    return finding.path == path and within


def about(finding: Finding, label: Label) -> bool:
    """Is this finding about the labelled place?"""
    if any(inside(finding, *place.split("::")) for place in label.get("also", ())):
        return True
    if finding.path != label["path"]:
        return False
    if finding.whole_file:
        return True
    if label["family"] == "innocent":
        return inside(finding, label["path"], label["qualname"])
    first, last = label["guard_lines"]
    if first - SLACK <= finding.line <= last + SLACK:
        return True
    at_def = abs(finding.line - label["line"]) <= SLACK
    return at_def and inside(finding, label["path"], label["qualname"])


def judge(tool: str, rows: list[Label], only: str | None) -> tuple[list[tuple[Label, set[str]]], list[str]]:
    """For each label the families that the tool reports about its place, and the packages that it did not survive."""
    by_package: dict[str, list[Label]] = defaultdict(list)
    for row in rows:
        if only is None or row["package"].startswith(only):
            by_package[row["package"]].append(row)
    judged: list[tuple[Label, set[str]]] = []
    errors: list[str] = []
    for key, group in sorted(by_package.items()):
        try:
            found = list(TOOLS[tool](tree(key), sorted({row["path"] for row in group})))
        except (ToolError, OSError, ValueError, KeyError) as error:
            errors.append(f"{key}: {type(error).__name__}: {error}")
            judged += [(row, {"error"}) for row in group]
            continue
        for row in group:
            judged.append((row, {f.family for f in found if f.family and about(f, row)}))
    return judged, errors


def figures(judged: list[tuple[Label, set[str]]]) -> dict[str, dict[str, int]]:
    innocent = [said for row, said in judged if row["family"] == "innocent"]
    result: dict[str, dict[str, int]] = {}
    for family in FAMILIES:
        own = [said for row, said in judged if row["family"] == family]
        result[family] = {
            "hits": sum(bool(said & ANSWERS[family]) for said in own),
            "total": len(own),
            "alarms": sum(family in said or "error" in said for said in innocent),
            "innocent": len(innocent),
        }
    result["any"] = {
        "hits": sum(result[f]["hits"] for f in FAMILIES),
        "total": sum(result[f]["total"] for f in FAMILIES),
        "alarms": sum(bool(said) for said in innocent),
        "innocent": len(innocent),
    }
    return result


def share(hits: int, total: int) -> str:
    if not total:
        return "–"
    low, high = wilson(hits, total)
    return f"{hits}/{total} = {hits / total:.2f} ({low:.2f}–{high:.2f})"


def page(results: dict[str, Row], rows: list[Label]) -> str:
    """docs/accuracy.md, from stored figures alone."""
    count = Counter(row["family"] for row in rows)
    reduced = Counter(row["family"] for row in rows if row["package"] == "reduced")
    lines = [
        "# Accuracy",
        "",
        f"Measured on {len(rows)} labelled functions of {len(packages())} pinned public packages and of small files",
        "reduced from public code: "
        + ", ".join(f"{count[f]} {f} ({reduced[f]} of them reduced)" for f in (*FAMILIES, "innocent"))
        + ".",
        "The labels were made by reading the code, before the linter ran on it. Innocent functions were chosen because",
        "they look guilty: guarded by a caller in another file, a framework or the project's own context manager,",
        "or in need of gradients. A label names a place: what is reported elsewhere in the file does not count (a tool",
        "that speaks of whole files is taken to mean every place in them).",
        "",
        "- *missing*: a model runs with gradient tracking on where nothing uses it (NGL1xx)",
        "- *training*: gradients are off, or stay off, where training needs them (NGL2xx)",
        "- *ineffective*: a guard that does nothing or guards something else (NGL3xx)",
        "",
        "Recall is the share of the family's labels that the tool reports; false alarms are the share of the innocent",
        "functions in which it reports something of that family. In brackets: the 95 % interval after Wilson.",
        "",
        "| tool | family | recall | false alarms |",
        "|---|---|---|---|",
    ]
    for tool in TOOLS:
        if tool not in results:
            continue
        row = results[tool]
        for family in (*FAMILIES, "any"):
            f = row["figures"][family]
            recall, alarms = share(f["hits"], f["total"]), share(f["alarms"], f["innocent"])
            lines.append(f"| {tool} {row['version']} | {family} | {recall} | {alarms} |")
    lines += [
        "",
        "To repeat it: `python benchmarks/accuracy/fetch.py`, install the tools to compare, then",
        "`python benchmarks/accuracy/score.py --write`.",
        "",
    ]
    if ECOSYSTEM.exists():
        lines += ecosystem(json.loads(ECOSYSTEM.read_text(encoding="utf-8")))
    return "\n".join(lines)


def ecosystem(stored: Row) -> list[str]:
    """What the run over whole packages found."""
    found, candidates = stored["diagnostics"], stored["candidates"]
    total, silenced = sum(candidates.values()), candidates["unresolved"]
    return [
        "## Whole packages",
        "",
        f"Every default diagnostic in the {stored['packages']} packages was read: {found['right']} are right,",
        f"{found['wrong']} wrong, {found['debatable']} debatable. Precision, without the debatable ones:",
        f"{share(found['right'], found['right'] + found['wrong'])}.",
        "",
        "A *candidate* is a function whose own text is enough for a diagnostic: it runs a model unguarded, evidence of",
        "evaluation is in it, and nothing in it asks for a gradient. What its callers do decides then whether it is",
        f"reported. Of {total} candidates {candidates['reported']} are reported, {candidates['known']} are silenced by",
        "callers that hold a guard, walk the graph, or are reported in their stead, and",
        f"{silenced} ({silenced / total:.1%}) are silenced because their callers can't be told: they end at a private",
        "function or a `forward` that nobody in sight calls, the function is handed on as a value, or all that holds a",
        "guard are calls of a common name on something of unknown class.",
        "",
        "To repeat it: `python benchmarks/accuracy/ecosystem.py`; `callers.py --list` names the silenced ones.",
        "",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=", ".join(TOOLS))
    parser.add_argument("-v", "--verbose", action="store_true", help="list every label that came out wrong")
    parser.add_argument("--package", help="only packages whose name starts so")
    parser.add_argument("--write", action="store_true", help="store the figures and write docs/accuracy.md")
    options = parser.parse_args()
    if unknown := set(options.tools) - set(TOOLS):
        parser.error(f"unknown tool: {', '.join(sorted(unknown))}")
    for tool in options.tools:
        if executable(tool) is None:
            parser.error(f"{tool} is not installed; point ${EXECUTABLES[tool]} at its executable")
    if options.write and options.package:
        parser.error("--write needs all packages")
    rows = [row for row in labels() if not row.get("uncertain")]
    results: dict[str, Row] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for tool in options.tools or [t for t in TOOLS if executable(t)]:
        judged, errors = judge(tool, rows, options.package)
        measured = figures(judged)
        results[tool] = {"version": version(tool), "figures": measured, "errors": errors}
        print(f"{tool} {results[tool]['version']}")
        for error in errors:
            print("  error", error, file=sys.stderr)
        for family, f in measured.items():
            recall, alarms = share(f["hits"], f["total"]), share(f["alarms"], f["innocent"])
            print(f"  {family:12} recall {recall:32} false alarms {alarms}")
        if options.verbose:
            wrong(judged)
    if options.write:
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(results, rows), encoding="utf-8")
    return 0


def wrong(judged: list[tuple[Label, set[str]]]) -> None:
    kinds: dict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
    for row, said in judged:
        family = row["family"]
        right = not said if family == "innocent" else bool(said & ANSWERS[family])
        kinds[family, row["kind"]][right] += 1
        if not right:
            place = f"{row['package']}/{row['path']}:{row['line']} {row['qualname']}"
            print(f"  wrong {row['id']} {family}/{row['kind']} said {sorted(said) or 'nothing'}: {place}")
    for (family, kind), count in sorted(kinds.items()):
        print(f"  {family}/{kind:36} right {count[True]:3} wrong {count[False]:3}")


if __name__ == "__main__":
    raise SystemExit(main())
