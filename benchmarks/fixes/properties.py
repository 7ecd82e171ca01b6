"""Fixes every fixable file of the accuracy benchmark's packages, and checks what is promised of fixes.

Every fixed file parses; where only guards are added, it is the same program but for the guards, and has the same
words; no fixed diagnostic is left; fixing again changes nothing. Nothing is written to the packages.

    python benchmarks/fixes/properties.py [PACKAGE ...]

Exit code 1 if a promise is broken.
"""

from __future__ import annotations

import ast
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "accuracy"))

from common import packages, tree

from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Diagnostic, Problem
from nograd_lint.engine import Engine
from nograd_lint.fixes.apply import FixedFile, FixReport, apply_fixes
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Settings
from nograd_lint.source.files import SourceFile, load

# Rules whose fixes add a guard and, but for a ``detach`` here and there, do nothing else.
ADD_A_GUARD = {"NGL101", "NGL102", "NGL103", "NGL104", "NGL105"}
GUARD = re.compile(r"(?:\w+\.)*(?:no_grad\(\)|inference_mode\(\)|set_grad_enabled\(.*\))")
GUARD_LINE = re.compile(rf"(?:with {GUARD.pattern}:|@{GUARD.pattern})(?=\\n|\r|$)", re.MULTILINE)


def check(root: Path) -> tuple[FixReport, list[str]]:
    """The fixes of a package, and the promises that they break."""
    rules = {code: (rule.name, rule.default) for code, rule in all_rules().items()}
    engine = Engine(Settings(), root, resolver=Resolver(rules, isolated=True), use_cache=False)
    files = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".ipynb") and path.is_file())
    found = engine.check(files)
    report = apply_fixes(engine, found, unsafe=True, write=False)
    broken = [f"{file.filename}: {what}" for file in report.files for what in broken_promises(file)]
    before = Counter(key(d) for result in found for d in result.diagnostics)
    after = Counter(key(d) for result in report.results for d in result.diagnostics)
    for fixed, count in Counter(key(d) for file in report.files for d in file.fixed).items():
        if after[fixed] > before[fixed] - count:
            broken.append(f"{fixed}: left after its fix")
    if report.files:
        contents = {file.path: file.after for file in report.files}
        again = apply_fixes(engine, report.results, unsafe=True, contents=contents, write=False)
        broken += [f"{file.filename}: fixed again: {[d.code for d in file.fixed]}" for file in again.files]
    return report, broken


def key(diagnostic: Diagnostic) -> tuple[str, str, str]:
    return diagnostic.filename, diagnostic.code, diagnostic.function


def broken_promises(file: FixedFile) -> Iterator[str]:
    old, new = load(file.path, file.filename, file.before), load(file.path, file.filename, file.after)
    assert not isinstance(old, Problem)
    if isinstance(new, Problem) or len(new.broken) > len(old.broken):
        yield "cannot be read"
        return
    try:
        tree_after = ast.parse(new.analysis)
    except SyntaxError as error:
        yield f"does not parse: {error}"
        return
    if all(map(only_adds_a_guard, file.fixed)):
        if without_guards(tree_after) != without_guards(ast.parse(old.analysis)):
            yield "is another program"
        added = words(new) - words(old)
        if words(old) - words(new) or added - Counter(("import", "torch")):
            yield f"has other words: {added}"


def only_adds_a_guard(diagnostic: Diagnostic) -> bool:
    edits = diagnostic.fix.edits if diagnostic.fix is not None else ()
    return diagnostic.code in ADD_A_GUARD and not any(".detach()" in edit.content for edit in edits)


def words(source: SourceFile) -> Counter[str]:
    """Everything between white space, but for guards."""
    return Counter(GUARD_LINE.sub("", source.text).split())


class _Strip(ast.NodeTransformer):
    """Takes guards and ``import torch`` out of a tree."""

    def visit_With(self, node: ast.With) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        guard = len(node.items) == 1 and GUARD.fullmatch(ast.unparse(node.items[0]))
        return node.body if guard else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.decorator_list = [d for d in node.decorator_list if not GUARD.fullmatch(ast.unparse(d))]
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        return None if ast.unparse(node) == "import torch" else node


def without_guards(tree: ast.Module) -> str:
    return ast.dump(_Strip().visit(tree))


def main() -> int:
    chosen = sys.argv[1:]
    failed = False
    total: Counter[str] = Counter()
    for package in packages():
        if chosen and package.name not in chosen:
            continue
        start = time.process_time()
        report, broken = check(tree(package.key))
        failed = failed or bool(broken)
        total.update(packages=1, files=len(report.files), fixes=report.count, reverted=len(report.reverted))
        seconds = time.process_time() - start
        print(f"{package.key}: {len(report.files)} files, {report.count} fixes, {seconds:.0f} s", flush=True)
        for one in report.reverted:
            where = f"{one.diagnostic.filename}:{one.diagnostic.span.start.row}"
            print(f"  reverted: {where}: {one.diagnostic.code}: {one.reason}")
        for line in broken:
            print(f"  BROKEN: {line}")
    print(", ".join(f"{number} {what}" for what, number in total.items()))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
