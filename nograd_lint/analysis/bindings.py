"""Names: what is assigned to them, what a loop gives them, and where graphs are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from nograd_lint.analysis.calls import Calls
from nograd_lint.analysis.facts import Loop
from nograd_lint.analysis.values import (
    NOTHING,
    NUMBER,
    UNKNOWN,
    Val,
    join,
    loader_by_name,
    split_of,
    tensor,
    words,
)
from nograd_lint.syntax import ir
from nograd_lint.syntax.ir import walk

# ``test_cfg.steps`` counts something, of training as well.
_SETTINGS = tuple([word] for word in "cfg config args opt opts options params hparams settings conf".split())


class Bindings(Calls):
    """The part of the interpreter that knows names."""

    def assign(self, target: ir.Expr, value: Val, source: ir.Expr | None) -> None:
        if isinstance(target, ir.Name):
            if target.id in self.globals_declared:
                self.sink(value.graph, "attr", target.o)
            if value.name != target.id:
                self.state.phases.pop(target.id, None)
            self.state.env[target.id] = self._named(value, target.id)
            if target.id in self.owners:
                for key in [k for k in self.state.env if k.startswith(target.id + ".")]:
                    del self.state.env[key]
        elif isinstance(target, ir.Attr):
            base = self.expr(target.value)
            self._assign_attribute(target, base, value, source)
        elif isinstance(target, ir.Seq):
            self._unpack(target.items, value)
        elif isinstance(target, ir.Star):
            self.assign(target.value, tensor(value.graph), None)
        elif isinstance(target, ir.Sub):
            self.expr(target)
            name = ir.dotted(target.value)
            if value.graph and name is not None:
                old = self.state.env.get(name, UNKNOWN)
                self.put(name, old.with_graph(old.graph | value.graph))
            if value.graph:
                self.keep(value.graph, target.value, "accumulate" if self._is_local(name) else "store", target.o)

    def put(self, name: str, value: Val) -> None:
        """What a dotted name holds from here on."""
        self.state.env[name] = value
        self.owners.add(name.partition(".")[0])

    def _is_local(self, name: str | None) -> bool:
        """Something that this function made: what is put into it is followed."""
        value = self.state.env.get(name) if name is not None and "." not in name else None
        root = self.facts.body.root
        return value is not None and root is not None and all(p.name != name for p in root.params)

    def _assign_attribute(self, target: ir.Attr, base: Val, value: Val, source: ir.Expr | None) -> None:
        name = ir.dotted(target)
        if target.attr == "requires_grad" and isinstance(source, ir.Const):
            self.requires_grad(target.value, base, bool(source.value), attribute=True)
            return
        if target.attr == "data" or target.attr == "grad":
            return
        if name is not None:
            self.put(name, self._named(value, name))
            if value.graph and base.kind != "func":
                self.sink(value.graph, "attr", target.o)

    def _named(self, value: Val, name: str) -> Val:
        if value.model and value.kind != "self" and value.name != name:
            self._alias_phase(value.name, name)
            return msgspec.structs.replace(value, name=name)
        if not value.name and (value.kind or value.graph):
            return msgspec.structs.replace(value, name=name)
        return value

    def _alias_phase(self, old: str, new: str) -> None:
        """``net = model.eval()``: what was said of the one holds for the other."""
        phases = self.state.phases
        whole = holder(old, phases)
        if whole is not None:
            phases[new] = phases[whole]

    def _unpack(self, targets: Sequence[ir.Expr], value: Val) -> None:
        items = value.items
        star = any(isinstance(t, ir.Star) for t in targets)
        for i, target in enumerate(targets):
            if items is not None and len(items) == len(targets) and not star:
                if items[i].kind == "detached" and isinstance(targets[0], ir.Name) and targets[0].id == "_":
                    self.sink(items[i].data, "argmax", target.o)
                self.assign(target, items[i], None)
            elif value.kind in ("batch", "loader"):
                self.assign(target, Val("batch", data=value.data, graph=value.graph), None)
            else:
                part = tensor(value.graph)
                self.assign(
                    target, msgspec.structs.replace(part, origin=value.origin) if value.origin >= 0 else part, None
                )

    def element(self, iterable: Val, source: ir.Expr) -> Val:
        """One element of what is iterated; ``enumerate``, ``zip``, ``items()`` and the like are looked into."""
        if isinstance(source, ir.Call):
            name = (ir.dotted(source.func) or "").rpartition(".")[2]
            parts = [self.element(self.facts.values.get(a.o, UNKNOWN), a) for a in source.args]
            if name == "enumerate" and parts:
                return Val("container", items=(NUMBER, parts[0]), graph=parts[0].graph)
            if name == "zip" and parts:
                return Val("container", items=tuple(parts), graph=NOTHING.union(*(v.graph for v in parts)))
            if name in ("tqdm", "list", "iter", "reversed", "sorted", "islice", "trange", "track") and parts:
                return parts[0]
            if name in ("items", "values", "children", "modules", "named_children", "named_modules") and isinstance(
                source.func, ir.Attr
            ):
                owner = self.facts.values.get(source.func.o, UNKNOWN)
                if owner.model:
                    inner = Val(model=min(owner.model, 2), frozen=owner.frozen, name=f"{owner.name}[]")
                    pair = name in ("items", "named_children", "named_modules")
                    return Val("container", items=(NUMBER, inner)) if pair else inner
        if iterable.model and iterable.kind != "self":
            return Val(model=min(iterable.model, 3), frozen=iterable.frozen, name=f"{iterable.name}[]")
        if iterable.items is not None:
            return join(iterable.items)
        if iterable.kind in ("loader", "batch"):
            return Val("batch", data=iterable.data, graph=iterable.graph)
        if iterable.kind == "params":
            return Val("param", name=iterable.name)
        return Val(graph=iterable.graph, origin=iterable.origin) if iterable.origin >= 0 else tensor(iterable.graph)

    def loop(self, node: int, expr: ir.Expr, value: Val) -> Loop:
        split = self.split_of_iter(expr, value)
        return Loop(node, split, bool(split) or value.kind == "loader" or any(map(loader_by_name, _loader_names(expr))))

    def split_of_iter(self, expr: ir.Expr, value: Val) -> str:
        """Whether a loop goes over evaluation or training data, judged by what it iterates."""
        if value.kind in ("loader", "batch") and value.data:
            return str(value.data)
        found = {split_of(name) for name in _loader_names(expr)} - {""}
        return found.pop() if len(found) == 1 else ""

    def sink(self, graph: frozenset[int], kind: str, node: int) -> None:
        for forward in graph:
            nodes = self.facts.sinks.setdefault(forward, {}).setdefault(kind, [])
            if node not in nodes:
                nodes.append(node)

    def keep(self, graph: frozenset[int], target: ir.Expr, kind: str, node: int) -> None:
        """A container or a sum takes up tensors; across batches where it was made outside the forward's loop."""
        name = ir.dotted(target) or ""
        self.sink(graph, kind, node)
        if not self.loops or not name:
            return
        for token in graph:
            forward = self.facts.forwards.get(token)
            if forward is None:
                continue
            shared = [loop for loop in self.loops if loop in forward.loops]
            batches = next((loop for loop in shared if loop.data), shared[-1] if shared else None)
            if batches is not None and self.made_outside(name, batches.node):
                kept = self.facts.kept.setdefault(token, [])
                if (node, name) not in kept:
                    kept.append((node, name))

    def made_outside(self, name: str, loop: int) -> bool:
        """Nothing inside the loop makes the object anew."""
        return name not in self._assigned_in(loop)

    def _assigned_in(self, loop: int) -> frozenset[str]:
        cache = self.__dict__.setdefault("_assigned", {})
        if loop not in cache:
            cache[loop] = frozenset(_plain_assignments(self.facts.body, loop))
        found: frozenset[str] = cache[loop]
        return found


def holder(name: str, phases: Mapping[str, str]) -> str | None:
    """What a dotted name is, or is a part of, among the names that were switched."""
    while name:
        if name in phases:
            return name
        name = name[:-2] if name.endswith("[]") else name.rpartition(".")[0]
    return None


def _plain_assignments(body: ir.Unit, loop: int) -> Iterable[str]:
    for node in walk(body.body):
        if node.o == loop and isinstance(node, (ir.For, ir.While)):
            for inner in walk(node.body):
                if isinstance(inner, ir.Assign) and inner.value is not None:
                    fresh = not any(
                        isinstance(n, (ir.Name, ir.Attr)) and ir.dotted(n) in {ir.dotted(t) for t in inner.targets}
                        for n in walk(inner.value)
                    )
                    for target in inner.targets:
                        name = ir.dotted(target)
                        if name is not None and fresh:
                            yield name


def _loader_names(expr: ir.Expr) -> Iterable[str]:
    """Names that an iterable is made of; arguments of ``enumerate``, ``tqdm``, ``zip`` and the like are looked into."""
    if isinstance(expr, ir.Name):
        yield expr.id
    elif isinstance(expr, ir.Attr):
        yield expr.attr
        base = ir.dotted(expr.value)
        if base is not None and base != "self" and words(base)[-1:] not in _SETTINGS:
            yield base
    elif isinstance(expr, ir.Call):
        name = ir.dotted(expr.func)
        last = (name or "").rpartition(".")[2]
        if last and last not in (
            "enumerate",
            "zip",
            "iter",
            "range",
            "len",
            "list",
            "reversed",
            "map",
            "filter",
            "sorted",
        ):
            yield last
            if isinstance(expr.func, ir.Attr):
                yield from _loader_names(expr.func.value)
        for arg in expr.args[:2]:
            yield from _loader_names(arg)
        for _, value in expr.keywords:
            if isinstance(value, ir.Const) and value.kind == "str":
                yield str(value.value)
    elif isinstance(expr, ir.Sub):
        yield from _loader_names(expr.value)
        for index in expr.index:
            if isinstance(index, ir.Const) and index.kind == "str":
                yield str(index.value)
    elif isinstance(expr, ir.Star):
        yield from _loader_names(expr.value)
