"""What frameworks do with grad mode, as data.

One TOML file per framework lies beside this module; ``README.md`` documents the format and how to add one. A project's
own files come in through the configuration. :func:`load` reads those that matter and answers questions about dotted
names, the way they are written after resolving a file's imports (``pytorch_lightning.LightningModule``)::

    knowledge = load(roots={"torch", "transformers"})
    knowledge.guarded("transformers.BertModel.generate").why
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from nograd_lint.knowledge.files import File, KnowledgeError, builtin, frameworks, read
from nograd_lint.knowledge.tables import (
    Attribute,
    Callback,
    Class,
    Demand,
    Detached,
    Entry,
    Factory,
    Forward,
    Framework,
    Freeze,
    Guard,
    Guarded,
    Hook,
    Loader,
    Loss,
    Metric,
    Model,
    Module,
    Optimizer,
    Sink,
    Wrapper,
)

__all__ = [
    "Attribute",
    "Callback",
    "Class",
    "Demand",
    "Detached",
    "Entry",
    "Factory",
    "Forward",
    "Freeze",
    "Guard",
    "Guarded",
    "Hook",
    "Knowledge",
    "KnowledgeError",
    "Loader",
    "Loss",
    "Metric",
    "Model",
    "Module",
    "Optimizer",
    "Sink",
    "Wrapper",
    "frameworks",
    "load",
]

_ALWAYS = ("torch", "python")
_E = TypeVar("_E", bound=Entry)


# --- names ------------------------------------------------------------------------------------------------------------


_WILD = re.compile(r"[*[]")


@functools.cache
def _pattern(glob: str) -> re.Pattern[str]:
    wild = {"*": "[^.]*", "**": ".*", ".**.": r"\.(?:.*\.)?", "**.": r"(?:.*\.)?"}
    parts = re.split(r"(\.\*\*\.|^\*\*\.|\*+|\[[^]]+\])", glob)
    return re.compile("".join(wild.get(part) or (part if part[:1] == "[" else re.escape(part)) for part in parts))


class Table(msgspec.Struct, Generic[_E], frozen=True):
    """Entries of one kind by name. An exact name beats a glob, and of two equals the one added later wins."""

    exact: dict[str, _E] = {}
    globs: dict[str, list[tuple[str, _E]]] = {}  # by first segment, later ones first; "" for those that have none
    seen: dict[str, _E | None] = {}

    def add(self, name: str, entry: _E) -> None:
        if not _WILD.search(name):
            self.exact[name] = entry
            return
        root = name.partition(".")[0]
        if _WILD.search(root):
            # It may match anything: put into every list, so that each stays in order.
            self.globs.setdefault("", [])
            for key in self.globs:
                self.globs[key].insert(0, (name, entry))
        else:
            self.globs.setdefault(root, list(self.globs.get("", ()))).insert(0, (name, entry))

    def get(self, name: str) -> _E | None:
        """The entry of a canonical name."""
        entry = self.exact.get(name)
        if entry is not None:
            return entry
        if name not in self.seen:
            self.seen[name] = self._search(name)
        return self.seen[name]

    def _search(self, name: str) -> _E | None:
        globs = self.globs.get(name.partition(".")[0])
        for glob, entry in self.globs.get("", ()) if globs is None else globs:
            if _pattern(glob).fullmatch(name) and not any(_pattern(e).fullmatch(name) for e in entry.excluding):
                return entry
        return None


class Knowledge(msgspec.Struct, frozen=True, kw_only=True):
    """Answers about dotted names. Every method takes names as a project writes them; none needs a canonical one.

    A method is named by its class: ``transformers.Trainer.train``. What is known of a class holds for those that
    inherit from it, as far as the files say who does; for a class of the project ask with each of its bases.
    """

    frameworks: tuple[str, ...]
    digest: str  # changes with the content of the files: part of a cache key
    aliases: dict[str, str]
    flatten: dict[str, str]
    classes: Table[Class]
    modules: Table[Module]
    models: Table[Model]
    factories: Table[Factory]
    wrappers: Table[Wrapper]
    attributes: Table[Attribute]
    forwards: Table[Forward]
    guards: Table[Guard]
    guardeds: Table[Guarded]
    hooks: Table[Hook]
    callbacks: Table[Callback]
    demands: Table[Demand]
    detacheds: Table[Detached]
    freezes: Table[Freeze]
    optimizers: Table[Optimizer]
    loaders: Table[Loader]
    losses: Table[Loss]
    metrics: Table[Metric]
    sinks: Table[Sink]
    known: dict[str, str] = {}
    ancestry: dict[str, tuple[str, ...]] = {}
    entries: dict[tuple[int, str], object] = {}

    # --- names and classes

    def canonical(self, dotted: str) -> str:
        """The name under which the tables know ``dotted``: re-exports and deep imports brought to one name."""
        found = self.known.get(dotted)
        if found is None:
            found = self.known[dotted] = self._canonical(dotted)
        return found

    def _canonical(self, dotted: str) -> str:
        for _ in range(8):  # an alias may lead to an alias; a circle of a user's file must end
            before = dotted
            for prefix, rest in _prefixes(dotted):
                target = self.aliases.get(prefix)
                if target is not None:
                    dotted = target + rest
                    break
                target = self.flatten.get(prefix)
                if target is not None:
                    dotted = _flat(target, rest) or dotted
                    if dotted != before:
                        break
            if dotted == before:
                break
        return dotted

    def lineage(self, dotted: str) -> tuple[str, ...]:
        """The class itself and what it inherits from, canonical, nearest first."""
        dotted = self.canonical(dotted)
        found = self.ancestry.get(dotted)
        if found is None:
            order = {dotted: None}
            queue = [dotted]
            module = False
            for name in queue:
                entries = (self.classes.get(name), self.modules.get(name))
                module |= entries[1] is not None
                for base in (base for entry in entries if entry is not None for base in entry.inherits):
                    if base not in order:
                        order[base] = None
                        queue.append(base)
            if module:
                order["torch.nn.Module"] = order.pop("torch.nn.Module", None)  # the root comes last
            found = self.ancestry[dotted] = tuple(order)
        return found

    def is_subclass(self, dotted: str, base: str) -> bool:
        """Whether the class is ``base`` or inherits from it."""
        return self.canonical(base) in self.lineage(dotted)

    def _find(self, table: Table[_E], dotted: str) -> _E | None:
        """The entry of a function, class or method, looked for in the classes that its class inherits from too."""
        key = (id(table), dotted)
        if key not in self.entries:
            self.entries[key] = self._search(table, dotted)
        return self.entries[key]  # type: ignore[return-value]

    def _search(self, table: Table[_E], dotted: str) -> _E | None:
        name = self.canonical(dotted)
        entry = table.get(name)
        if entry is not None:
            return entry
        owner, _, last = name.rpartition(".")
        for base in self.lineage(owner)[1:]:
            entry = table.get(f"{base}.{last}")
            if entry is not None:
                return entry
        return None

    def _of_class(self, table: Table[_E], dotted: str) -> _E | None:
        key = (-id(table), dotted)
        if key not in self.entries:
            self.entries[key] = self._inherited(table, dotted)
        return self.entries[key]  # type: ignore[return-value]

    def _inherited(self, table: Table[_E], dotted: str) -> _E | None:
        for base in self.lineage(dotted):
            entry = table.get(base)
            if entry is not None:
                return entry
        return None

    # --- models

    def module_class(self, dotted: str) -> Module | None:
        """What is known of a class whose instances are modules."""
        return self._of_class(self.modules, dotted)

    def is_module_class(self, dotted: str) -> bool:
        return self.module_class(dotted) is not None

    def model_factory(self, dotted: str) -> Model | None:
        """What is known of a call that returns a model."""
        return self._find(self.models, dotted)

    def returned_class(self, dotted: str) -> str | None:
        """The class of what a call returns: a class called by its name, a model factory, another factory."""
        name = self.canonical(dotted)
        entry = self._find(self.models, name) or self._find(self.factories, name)
        if entry is not None:
            if entry.returns is not None:
                return entry.returns
            owner = name.rpartition(".")[0]
            return owner if self._is_class(owner) else None
        return name if self._is_class(name) else None

    def _is_class(self, name: str) -> bool:
        return self.classes.get(name) is not None or self.modules.get(name) is not None

    def wrapper(self, dotted: str) -> Wrapper | None:
        """What is known of a call that hands back the model that it is given."""
        return self._find(self.wrappers, dotted)

    def model_attribute(self, owner: str, attribute: str) -> Attribute | None:
        """What is known of an attribute that holds a model (``pipe.unet``)."""
        return self._find(self.attributes, f"{owner}.{attribute}")

    def forward_method(self, base: str, method: str) -> Forward | None:
        """What is known of a method that runs a tracked forward (``model.encode_image``)."""
        return self._find(self.forwards, f"{base}.{method}")

    def freeze(self, dotted: str) -> Freeze | None:
        return self._find(self.freezes, dotted)

    # --- grad mode

    def guard(self, dotted: str) -> Guard | None:
        """What is known of a context manager, decorator or switch."""
        return self._find(self.guards, dotted)

    def guarded(self, dotted: str) -> Guarded | None:
        """What is known of a call that turns gradients off inside."""
        return self._find(self.guardeds, dotted)

    def guarded_method(self, base: str, method: str) -> Guarded | None:
        return self._find(self.guardeds, f"{base}.{method}")

    def hook(self, base: str, method: str) -> Hook | None:
        """In which grad mode the framework calls ``method`` of a class that inherits from ``base``."""
        return self._find(self.hooks, f"{base}.{method}")

    def callback(self, dotted: str) -> Callback | None:
        """What is known of a call that takes a function to be called later or elsewhere."""
        return self._find(self.callbacks, dotted)

    # --- values

    def demand(self, dotted: str) -> Demand | None:
        """What is known of a call that needs gradients."""
        return self._find(self.demands, dotted)

    def detached(self, dotted: str) -> Detached | None:
        """Whether the result of a call never carries a graph; methods of tensors are ``torch.Tensor.argmax``."""
        return self._find(self.detacheds, dotted)

    def optimizer(self, dotted: str) -> Optimizer | None:
        return self._of_class(self.optimizers, dotted) or self._find(self.optimizers, dotted)

    def loader(self, dotted: str) -> Loader | None:
        return self._of_class(self.loaders, dotted) or self._find(self.loaders, dotted)

    def loss(self, dotted: str) -> Loss | None:
        return self._of_class(self.losses, dotted) or self._find(self.losses, dotted)

    def metric(self, dotted: str) -> Metric | None:
        return self._of_class(self.metrics, dotted) or self._find(self.metrics, dotted)

    def sink(self, dotted: str) -> Sink | None:
        return self._find(self.sinks, dotted)

    def is_optimizer(self, dotted: str) -> bool:
        return self.optimizer(dotted) is not None

    def is_loader(self, dotted: str) -> bool:
        return self.loader(dotted) is not None

    def is_loss(self, dotted: str) -> bool:
        return self.loss(dotted) is not None

    def is_metric(self, dotted: str) -> bool:
        return self.metric(dotted) is not None


def _prefixes(dotted: str) -> Iterator[tuple[str, str]]:
    end = len(dotted)
    while end > 0:
        yield dotted[:end], dotted[end:]
        end = dotted.rfind(".", 0, end)


def _flat(target: str, rest: str) -> str | None:
    """``target`` plus ``rest`` from its first class name on; None where there is none."""
    parts = rest.split(".")[1:]
    for index, part in enumerate(parts):
        if part[:1].isupper():
            return ".".join((target, *parts[index:]))
    return None


# --- loading ----------------------------------------------------------------------------------------------------------

# Table in a file -> field of Knowledge.
_FIELDS = {
    "class_": "classes",
    "module": "modules",
    "model": "models",
    "factory": "factories",
    "wrapper": "wrappers",
    "attribute": "attributes",
    "forward": "forwards",
    "guard": "guards",
    "guarded": "guardeds",
    "hook": "hooks",
    "callback": "callbacks",
    "demand": "demands",
    "detached": "detacheds",
    "freeze": "freezes",
    "optimizer": "optimizers",
    "loader": "loaders",
    "loss": "losses",
    "metric": "metrics",
    "sink": "sinks",
}


def load(
    extra: Iterable[Path] = (), roots: Collection[str] | None = None, declared: Framework | None = None
) -> Knowledge:
    """The knowledge of the frameworks that a project imports, and of its own files.

    Args:
        extra: files named by the project's configuration; what they say goes before what comes with nograd-lint.
        roots: first segments of the modules that the project imports; None for all frameworks.
        declared: what the configuration itself says of the project's own functions.

    Raises:
        KnowledgeError: a file is missing, or not in the format.
    """
    own = [read(Path(path)) for path in extra]
    if declared is not None:
        own.append(File(declared, msgspec.msgpack.encode(declared)))
    return _join([*_builtin(roots, [stem for file in own for stem in file.framework.needs]), *own])


def _builtin(roots: Collection[str] | None, needed: Iterable[str]) -> list[File]:
    index = frameworks()
    seen = (
        index.keys()
        if roots is None
        else {stem for stem, modules in index.items() if not set(modules).isdisjoint(roots)}
    )
    queue = sorted({*_ALWAYS, *seen, *needed})
    for stem in queue:
        queue += [other for other in builtin(stem).framework.needs if other not in queue]
    return [builtin(stem) for stem in queue]


def _join(files: list[File]) -> Knowledge:
    fields: dict[str, Any] = {field: Table() for field in _FIELDS.values()}
    knowledge = Knowledge(
        frameworks=tuple(file.framework.name for file in files),
        digest=hashlib.blake2b(b"".join(file.digest for file in files), digest_size=16).hexdigest(),
        aliases={name: target for file in files for name, target in file.framework.aliases.items()},
        flatten={name: target for file in files for name, target in file.framework.flatten.items()},
        **fields,
    )
    for file in files:
        for table, field in _FIELDS.items():
            for entry in getattr(file.framework, table):
                entry = _resolved(entry, knowledge)
                for name in entry.names:
                    fields[field].add(name, entry)
    return knowledge


def _resolved(entry: _E, knowledge: Knowledge) -> _E:
    """The entry with all its names spelt out and canonical."""
    canonical = knowledge.canonical
    members = (*entry.methods, *getattr(entry, "attributes", ()))
    changes: dict[str, Any] = {
        "names": (
            *map(canonical, entry.names),
            *(f"{canonical(base)}.{member}" for base in entry.bases for member in members),
        ),
        "bases": (),
        "methods": (),
    }
    if entry.excluding:
        changes["excluding"] = tuple(map(canonical, entry.excluding))
    if getattr(entry, "inherits", ()):
        changes["inherits"] = tuple(map(canonical, entry.inherits))  # type: ignore[attr-defined]
    if getattr(entry, "returns", None) is not None:
        changes["returns"] = canonical(entry.returns)  # type: ignore[attr-defined]
    return msgspec.structs.replace(entry, **changes)
