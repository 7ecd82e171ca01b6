"""Switches of grad mode that are left off: what restores them, and who runs afterwards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nograd_lint.analysis.facts import Switch
from nograd_lint.analysis.values import guard_by_name, words
from nograd_lint.diagnostics import Confidence
from nograd_lint.project.file import MODULE
from nograd_lint.rules._guards import called
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.project.file import File
    from nograd_lint.rules._context import UnitContext

_OWN = ("set_grad_enabled", "__enter__", "push")
_TRAINS = re.compile(rb"\.backward\(|optimi[sz]er\.step\(|manual_backward\(|\boptim\.step\(")
_ENABLES = re.compile(rb"enable_grad\(|set_grad_enabled\((?!\s*(?:mode\s*=\s*)?False)")
_RESTORES = re.compile(rb"set_grad_enabled\((?!\s*(?:mode\s*=\s*)?False)|\.__exit__\(|\.close\(\)")
_MAIN = re.compile(rb"^if[ \t(]+__name__[ \t]*==", re.MULTILINE)
_TESTS = re.compile(r"(?:^|/)(?:tests?|testing)/|(?:^|/)(?:test_[^/]*|[^/]*_test|conftest)\.py$")


class LeftOff(msgspec.Struct, frozen=True):
    switch: Switch
    stmt: ir.Stmt
    returns: int | None  # an early return before the mode is restored
    restore: int | None  # the statement that restores it otherwise


def left_off(unit: UnitContext) -> list[LeftOff]:
    """The unit's own switches that turn gradients off and are not undone when it ends."""
    found = []
    for switch in sorted(unit.facts.switches.values(), key=lambda s: s.node):
        if switch.how in _OWN and switch.to.off:
            stmt = unit.by_ordinal.get(unit.parent_statement.get(switch.node, -1))
            if stmt is not None and not _undone(unit, switch, stmt) and not _never_ends(unit, stmt):
                restore = _restore(unit, switch)
                returns = _return_before(unit, switch, restore) if restore is not None else None
                if restore is None or returns is not None:
                    found.append(LeftOff(switch, stmt, returns, restore))  # type: ignore[arg-type]
    return found


def _never_ends(unit: UnitContext, stmt: ir.Node) -> bool:
    """``while True`` without a way out follows: nobody comes after it."""
    return any(
        isinstance(later, ir.While)
        and isinstance(later.test, ir.Const)
        and bool(later.test.value)
        and not any(
            isinstance(n, ir.Return) or (isinstance(n, ir.Simple) and n.kind == "break") for n in ir.walk(later.body)
        )
        for later in unit.after(stmt.o)
    )


def _undone(unit: UnitContext, switch: Switch, stmt: ir.Node) -> bool:
    """Something around the switch restores the mode, or a counterpart elsewhere is there for it."""
    if switch.how == "push":
        return False
    call = unit.by_ordinal.get(switch.node)
    if isinstance(call, ir.Call) and isinstance(call.func, ir.Attr) and switch.how == "__enter__":
        if called(unit, call.func.value) == "torch.inference_mode":
            return True  # ends with the object, at once (NGL310)
    if unit.facts.entry is not None:
        return True  # a decorator restores the mode when the function returns
    for outer in unit.ancestors(switch.node):
        if isinstance(outer, ir.With) and any((outer.o, i) in unit.facts.guards for i in range(len(outer.items))):
            return True
        if isinstance(outer, ir.Try) and _switches_in(unit, outer.final):
            return True
        if isinstance(outer, ir.Def) and any(True for _ in outer.decorators) and outer is not unit.root:
            return True
    for sibling in unit.after(stmt.o)[:1]:
        if isinstance(sibling, ir.Try) and _switches_in(unit, sibling.final):
            return True
    if isinstance(stmt, ir.Assign):
        names = {ir.dotted(t) for t in stmt.targets}
        if any(name is None or "." in name for name in names):
            return True
        return any(isinstance(n, ir.With) and any(ir.dotted(i.expr) in names for i in n.items) for n in unit.nodes)
    return _has_counterpart(unit) or _is_setter(unit, stmt)


def _switches_in(unit: UnitContext, stmts: tuple[ir.Stmt, ...]) -> bool:
    return any(node.o in unit.facts.switches for node in ir.walk(stmts))


def _has_counterpart(unit: UnitContext) -> bool:
    """Another method of the class restores the mode: ``__exit__``, ``tearDown``, ``stop``."""
    file, cls = unit.world.project.file(unit.path), unit.facts.cls
    if file is None or cls is None or cls.name not in file.classes or unit.unit not in file.units:
        return False
    definition, method = file.classes[cls.name], file.units[unit.unit]
    before, after = file.data[definition.start : method.start], file.data[method.end : definition.end]
    return any(_RESTORES.search(text) for text in (before, after))


def _is_setter(unit: UnitContext, stmt: ir.Node) -> bool:
    """A function that is there to switch: nothing else is in it, or its name says so."""
    root = unit.root
    if root is None:
        return False
    body = [s for s in root.body if not (isinstance(s, ir.ExprStmt) and isinstance(s.value, ir.Const))]
    if all(s is stmt or isinstance(s, (ir.Import, ir.ScopeStmt)) for s in body):
        return True
    found = words(root.name)
    return guard_by_name(root.name) or (
        "grad" in found and bool({"disable", "set", "off", "toggle", "no"} & set(found))
    )


def _restore(unit: UnitContext, switch: Switch) -> int | None:
    """Another switch of the unit that may turn gradients on again."""
    others = [s for s in unit.facts.switches.values() if not s.to.off and s.function == switch.function]
    later = [s.node for s in others if s.node > switch.node]
    if later:
        return min(later)
    return max((s.node for s in others), default=None)


def _return_before(unit: UnitContext, switch: Switch, restore: int) -> int | None:
    """A return between the switch and what restores the mode."""
    if restore < switch.node:
        return None
    for node in unit.all(ir.Return):
        if switch.node < node.o < restore and unit.enclosing.get(node.o) == unit.enclosing.get(switch.node):
            trys = (outer for outer in unit.ancestors(node.o) if isinstance(outer, ir.Try))
            branches = {o.o for o in unit.ancestors(node.o) if isinstance(o, (ir.If, ir.Match))}
            if branches & {o.o for o in unit.ancestors(restore)}:
                continue  # one branch returns, the other restores: judged by its own switch
            if not any(_switches_in(unit, outer.final) for outer in trys):
                return node.o
    return None


# --- who runs afterwards ----------------------------------------------------------------------------------------------


class Victim(msgspec.Struct, frozen=True):
    """Why a switch that is left off matters."""

    confidence: Confidence
    text: str


def victim(unit: UnitContext, switch: Switch) -> Victim | None:
    """Whose gradients a switch turns off that is left off, None where nobody in sight wants any."""
    file = unit.world.project.file(unit.path)
    if file is None:
        return None
    found = _victim(unit, switch, file)
    if found is not None and _TESTS.search(unit.path):
        return Victim(Confidence.LOW, found.text)
    return found


def _victim(unit: UnitContext, switch: Switch, file: File) -> Victim | None:
    name = _public_name(unit)
    in_main = unit.is_module and _under_main(unit, switch.node)
    users = () if in_main else tuple(_users(unit, name))
    for user in users:
        other = unit.world.project.file(user)
        if other is not None and _TRAINS.search(other.data):
            return Victim(Confidence.HIGH, f"`{user}` uses it and trains")
    conditional = any(isinstance(outer, ir.If) for outer in unit.ancestors(switch.node))
    enables = _ENABLES.search(_elsewhere(unit, file)) is not None
    if _TRAINS.search(file.data) and not enables:
        if not (conditional and (unit.is_module or _is_script(file))):
            return Victim(Confidence.HIGH, "the same file trains")
    package = _in_package(unit)
    if users:
        shown = next((user for user in users if not user.endswith("__init__.py")), users[0])
        return Victim(Confidence.HIGH if package else Confidence.MEDIUM, f"`{shown}` uses it")
    if in_main or _is_script(file) or enables:
        return None
    if unit.is_module:
        return Victim(Confidence.MEDIUM, "whoever imports the module") if package and file.units else None
    return Victim(Confidence.HIGH if package else Confidence.MEDIUM, "whoever calls it")


def _elsewhere(unit: UnitContext, file: File) -> bytes:
    """The text of the file without the unit."""
    definition = file.units.get(unit.unit)
    return file.data if definition is None else file.data[: definition.start] + file.data[definition.end :]


def _public_name(unit: UnitContext) -> str | None:
    """What somebody must name to run the unit: its class for a method, None for the module body."""
    return None if unit.is_module else unit.unit.partition(".")[0].partition("#")[0]


def _under_main(unit: UnitContext, node: int) -> bool:
    for outer in unit.ancestors(node):
        if isinstance(outer, ir.If) and any(isinstance(n, ir.Name) and n.id == "__name__" for n in ir.walk(outer.test)):
            return True
    return False


def _is_script(file: File) -> bool:
    """The module's own code does things when it is run."""
    if _MAIN.search(file.data):
        return True
    body = file.unit(MODULE)
    if body is None:
        return False
    return any(
        isinstance(stmt, (ir.For, ir.While, ir.With))
        or (isinstance(stmt, ir.ExprStmt) and isinstance(stmt.value, ir.Call) and _runs(file, stmt.value))
        for stmt in body.body
    )


def _runs(file: File, call: ir.Call) -> bool:
    name = ir.dotted(call.func) or ""
    return name.partition(".")[0] in {*file.units, *file.classes} or name.endswith((".run", ".main", "print", ".fit"))


def _in_package(unit: UnitContext) -> bool:
    folder = unit.path.rpartition("/")[0]
    return bool(folder) and unit.world.project.exists(f"{folder}/__init__.py")


def _users(unit: UnitContext, name: str | None) -> list[str]:
    """Other files of the project that import this one, and name the function or class."""
    project = unit.world.project
    stem = unit.path.rpartition("/")[2].removesuffix(".py")
    if stem == "__init__":
        stem = unit.path.split("/")[-2] if "/" in unit.path else stem
    wanted = [re.compile(rb"\b%s\b" % text.encode()) for text in (stem, name) if text]
    found = []
    for path in sorted(project.paths):
        file = project.file(path) if path != unit.path else None
        if file is None or _TESTS.search(path) or not all(file.mentions(text) for text in (stem, name) if text):
            continue
        if not all(pattern.search(file.data) for pattern in wanted):
            continue
        if any(_means(unit, path, item.alias) for item in file.outline.imports):
            found.append(path)
    return found


def _means(unit: UnitContext, path: str, alias: ir.Alias) -> bool:
    project = unit.world.project
    if project.module(alias.module, path, alias.level) == unit.path:
        return True
    if alias.name is None or alias.name == "*":
        return False
    dotted = f"{alias.module}.{alias.name}" if alias.module else alias.name
    if project.module(dotted, path, alias.level) == unit.path:
        return True
    symbol = project.resolve(path, alias.asname or alias.name)
    return symbol is not None and symbol.path == unit.path
