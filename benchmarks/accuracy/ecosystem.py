#!/usr/bin/env python3
"""All default diagnostics of nograd-lint over all packages, kept as data and compared when the linter changes.

usage: ecosystem.py [--package NAME] [--update] [--show N]

ecosystem.jsonl holds one diagnostic a line, keyed by package, path, code, function and occurrence, with a label made
by reading the code: right, wrong or debatable (null: not read yet). A run prints what is new, what is gone, and the
precision of what is labelled, and the share of candidates that are silenced because their callers can't be told (see
callers.py; it looks at the nograd_lint that Python imports). --update writes new diagnostics (unlabelled), drops those
that are gone, and stores the figures in ecosystem.json; --show prints the source around the first N diagnostics that
nobody has labelled.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from typing import Any

from callers import OUTCOMES, census, shown
from common import ECOSYSTEM, HERE, TOOLS, Finding, ToolError, executable, packages, tree
from score import share

STORE = HERE / "ecosystem.jsonl"
KEY = ("package", "path", "code", "function", "occurrence")
LABELS = ("right", "wrong", "debatable")
Row = dict[str, Any]
Key = tuple[Any, ...]


def key(row: Row) -> Key:
    return tuple(row[part] for part in KEY)


def stored() -> dict[Key, Row]:
    if not STORE.exists():
        return {}
    rows = [json.loads(line) for line in STORE.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {key(row): row for row in rows}


def rows_of(package: str, found: list[Finding]) -> list[Row]:
    """Findings as rows; the occurrence counts those of one code in one function, from the top."""
    seen: Counter[tuple[str, str, str]] = Counter()
    rows = []
    for f in sorted(found, key=lambda f: (f.path, f.line, f.code)):
        place = (f.path, f.code, f.function)
        seen[place] += 1
        rows.append(
            {
                "package": package,
                "path": f.path,
                "code": f.code,
                "function": f.function,
                "occurrence": seen[place],
                "line": f.line,
                "confidence": f.confidence,
                "label": None,
                "note": "",
            }
        )
    return rows


def show(row: Row) -> None:
    lines = (tree(row["package"]) / row["path"]).read_text(encoding="utf-8", errors="replace").splitlines()
    first, last = max(0, row["line"] - 16), min(len(lines), row["line"] + 12)
    print(f"\n--- {row['package']}/{row['path']}:{row['line']} {row['code']} {row['confidence']} {row['function']}")
    for number in range(first, last):
        mark = ">" if number + 1 == row["line"] else " "
        print(f"{mark}{number + 1:5} {lines[number]}")


def run(only: str | None) -> tuple[dict[Key, Row], set[str], Counter[str]]:
    now: dict[Key, Row] = {}
    covered: set[str] = set()
    candidates: Counter[str] = Counter()
    for package in packages():
        if only is not None and not package.name.startswith(only):
            continue
        try:
            found = list(TOOLS["nograd-lint"](tree(package.key), []))
        except (ToolError, OSError, ValueError) as error:
            print(f"error {package.key}: {error}", file=sys.stderr)
            continue
        covered.add(package.key)
        now |= {key(row): row for row in rows_of(package.key, found)}
        candidates.update(what for _, _, what in census(tree(package.key)))
    return now, covered, candidates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", help="only packages whose name starts so")
    parser.add_argument("--update", action="store_true", help="write the differences to ecosystem.jsonl")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print the source of N unlabelled diagnostics")
    options = parser.parse_args()
    if executable("nograd-lint") is None:
        parser.error("nograd-lint is not installed; point $NGL at its executable")
    before = stored()
    now, covered, candidates = run(options.package)
    known = {k: row for k, row in before.items() if row["package"] in covered}
    for k in sorted(now.keys() - known.keys()):
        print("new ", *k[:2], f"line {now[k]['line']}", *k[2:])
    for k in sorted(known.keys() - now.keys()):
        print("gone", *k[:2], *k[2:], f"({known[k]['label']})")
    for k, row in now.items():
        if k in known:
            row["label"], row["note"] = known[k]["label"], known[k]["note"]
    count = Counter(row["label"] for row in now.values())
    print(f"{len(now)} diagnostics in {len(covered)} packages:", {str(k): count[k] for k in (*LABELS, None)})
    print("precision (debatable ones left out)", share(count["right"], count["right"] + count["wrong"]))
    print(shown(candidates))
    for row in [row for row in now.values() if row["label"] is None][: options.show]:
        show(row)
    if options.update:
        kept = [row for k, row in before.items() if row["package"] not in covered]
        merged = sorted([*kept, *now.values()], key=key)
        STORE.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in merged), encoding="utf-8")
        if options.package is None:
            figures = {"packages": len(covered), "diagnostics": {label: count[label] for label in LABELS}}
            figures["candidates"] = {name: candidates[name] for name in OUTCOMES}
            ECOSYSTEM.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
