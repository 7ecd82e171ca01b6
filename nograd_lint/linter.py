"""One project: its files, what is known of them from before, and the diagnostics of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from nograd_lint.config import Root
from nograd_lint.diagnostics import Applicability, Confidence, Diagnostic, Evidence, FileResult, Fix, Problem
from nograd_lint.project.marks import Mark, Marks
from nograd_lint.project.names import NameIndex
from nograd_lint.project.stars import Bindings
from nograd_lint.settings import ANALYSIS_FIELDS, ConfigError

if TYPE_CHECKING:
    from nograd_lint.engine import Engine
    from nograd_lint.knowledge import Knowledge
    from nograd_lint.knowledge.tables import Framework, GuardMode
    from nograd_lint.project.cache import Cache
    from nograd_lint.project.file import Use
    from nograd_lint.project.graph import Graph, Kept, Node
    from nograd_lint.project.summaries import World
    from nograd_lint.settings import Settings
    from nograd_lint.source.files import SourceFile
    from nograd_lint.source.suppressions import Unused

Stamp = tuple[int, int, int]  # size, time of change, inode
_FEW = 200  # a change of fewer files than one in this many is not kept at once
_RECENT = 3_000_000_000  # nanoseconds within which a file may change again without another time
MODULE = "<module>"
T = TypeVar("T")
K = TypeVar("K", bound="_Deep | _Names")


class Judged(msgspec.Struct, frozen=True, array_like=True):
    """The diagnostics of a file, from all rules, before suppressions: see :func:`nograd_lint.judge.judge`."""

    found: tuple[Diagnostic, ...]
    problems: tuple[Problem, ...]
    thorough: bool


class _State(msgspec.Struct, array_like=True):
    """What a run starts from: which files there were, and what was reported, by the settings that decide that.

    ``version`` names the rest of what is kept, which is only good together with this.
    """

    version: bytes
    files: dict[str, tuple[Stamp, bytes]]
    results: dict[str, tuple[bytes, FileResult]]


class _Deep(msgspec.Struct, array_like=True):
    """What only a run that has something to judge needs."""

    version: bytes
    judged: dict[str, msgspec.Raw]
    graph: msgspec.Raw
    marks: dict[str, Mark] | None


class _Names(msgspec.Struct, array_like=True):
    version: bytes
    index: NameIndex | None
    bindings: dict[str, msgspec.Raw]


class _Share(msgspec.Struct, array_like=True):
    """What one of several processes found out."""

    judged: dict[str, Judged]
    graph: bytes
    digests: dict[str, bytes]
    bindings: dict[str, Bindings]
    parts: dict[bytes, bytes]
    lowered: int


class Linter:
    """The files of one project, from run to run.

    Results of files that nothing has changed for are those of before: see :mod:`nograd_lint.project.graph`.
    """

    def __init__(self, engine: Engine, root: Root) -> None:
        self.engine = engine
        self.root = root
        self.settings = engine.resolver.analysis(root)
        self.names: dict[Path, str] = {}
        self.paths: dict[str, Path] = {}
        self.overlay: dict[str, bytes] = {}
        self.files: dict[str, tuple[Stamp, bytes]] = {}  # what is known of the content of each file
        self.results: dict[str, tuple[bytes, FileResult]] = {}
        self.judged: dict[str, Judged] = {}
        self._judged_before: dict[str, msgspec.Raw] = {}  # by earlier runs
        self.answers: dict[Use, bytes] = {}  # to questions of earlier runs
        self._digests: dict[str, bytes] = {}  # of what was read in this process
        self.touched: set[Path] = set()  # files that may have changed
        self._started = False
        self._deep = False
        self._changed = False  # something to keep
        self._change_seen = False
        self._saved = False
        self._kept: Kept | None = None  # what answers of earlier runs rest on
        self._outdated: tuple[set[Use], dict[int, Node]] = set(), {}  # what of that does not hold any more
        self._fresh = 0  # files judged since what is known was kept
        self._behind = 0  # files changed since then
        self._version = b""
        self._world: World | None = None
        self.cache: Cache | None = self._open() if engine.use_cache and root.alone is None else None

    # --- what there is from before ------------------------------------------------------------------------------------

    def _open(self) -> Cache:
        from nograd_lint.cachedir import directory
        from nograd_lint.project.cache import Cache

        return Cache(directory(self.root.path, self.settings.cache_dir), signature())

    @cached_property
    def family(self) -> str:
        """Names the states of runs that could have the same results."""
        settings = self.settings
        analysis = [getattr(settings, name) for name in ANALYSIS_FIELDS]
        knowledge = [path.read_bytes() for path in map(Path, settings.knowledge) if path.is_file()]
        where = os.path.relpath(self.root.path, self.engine.root)
        package = self.root.path.name if (self.root.path / "__init__.py").is_file() else ""  # imports itself so
        shaping = msgspec.msgpack.encode((analysis, knowledge, settings.markdown, where, package))
        return blake2b(signature() + shaping, digest_size=16).hexdigest()

    def _load(self, key: str) -> bytes | None:
        return self.cache.load(self.family, key) if self.cache is not None else None

    def _load_state(self) -> None:
        data = self._load("state")
        if data is None:
            return
        state = _decoded(data, _State)
        if state is not None:
            self._version, self.files, self.results = state.version, state.files, state.results
            self._started = True

    def _load_deep(self) -> None:
        """Read what was judged before, and what that rests on."""
        from nograd_lint.project.graph import decode

        if self._deep:
            return
        self._deep = True
        deep = self._of_before("deep", _Deep)
        names = self._of_before("names", _Names)
        if deep is None or names is None:  # another process kept something else since, or there is nothing
            self.results.clear()
            return
        self._judged_before = deep.judged
        self._kept = decode(deep.graph)
        project = self.world.project
        project.known_marks = Marks(deep.marks) if deep.marks is not None else None
        project.index = names.index
        project.stars.kept = names.bindings

    def _absorb(self) -> None:
        """Take what is known from before for part of what is known now."""
        if self._kept is not None:
            graph, answers = self._kept.graph(*self._outdated)
            self._kept = None
            self.answers = {**answers, **self.answers}
            self.world.graph.merge(graph)

    def _of_before(self, key: str, kind: type[K]) -> K | None:
        data = self._load(key) if self._version else None
        found = _decoded(data, kind) if data is not None else None
        return found if found is not None and found.version == self._version else None

    # --- the project --------------------------------------------------------------------------------------------------

    @property
    def world(self) -> World:
        if self._world is None:
            from nograd_lint.project.index import Project
            from nograd_lint.project.summaries import World

            project = Project(self.paths, self._read, self.knowledge.canonical, self.cache, self.root.path.name)
            names = (*(guard.name for guard in self.settings.guards), *self.settings.models)
            self._world = World(project, self.knowledge, frozenset(names))
        return self._world

    @cached_property
    def knowledge(self) -> Knowledge:
        from nograd_lint.knowledge import KnowledgeError, files, load

        settings = self.settings
        key = settings.knowledge, settings.guards, settings.models
        shared = self.engine.knowledge  # there may be as many projects as files
        if key not in shared:
            packed = self._load("knowledge")
            if packed is not None:
                files.unpack(packed)
            try:
                shared[key] = load(tuple(map(Path, settings.knowledge)), declared=_declared(settings))
            except KnowledgeError as error:
                filename, _, reason = str(error).partition(": ")
                raise ConfigError(os.path.relpath(filename, self.root.path), reason) from None
        return shared[key]

    def _read(self, name: str) -> bytes | None:
        source = self.source(name, name)
        if isinstance(source, Problem):
            return None
        self._digests[name] = _digest(source.raw)
        return source.analysis

    def source(self, name: str, shown: str) -> SourceFile | Problem:
        from nograd_lint.source.files import load

        return load(self.paths[name], shown, self.overlay.get(name), markdown=self.settings.markdown)

    def _discover(self, members: Iterable[Path]) -> dict[Path, str]:
        from nograd_lint.source.discovery import discover

        root = self.root
        if root.alone is not None:
            paths = [root.alone]
        else:
            paths = discover([root.path], self.settings, root.path).files
        base = f"{root.path}{os.sep}"
        found = {}
        for path in {*paths, *members}:
            spelled = str(path)
            name = spelled[len(base) :] if spelled.startswith(base) else os.path.relpath(path, root.path)
            found[path] = name.replace(os.sep, "/")
        return found

    def sync(self, members: Sequence[Path], contents: Mapping[Path, bytes], *, everything: bool = True) -> None:
        """Take notice of what has changed since the last time.

        Args:
            members: files to lint.
            contents: stand for what is on disk.
            everything: look at every file, and not at those in ``touched`` alone.
        """
        fresh = self._world is None and not self._started
        if fresh:
            self._load_state()
        known = set(self.files)
        touched, self.touched = self.touched, set()
        look: set[str] = set()
        if everything or fresh or self._other_files(touched, members):
            self.names = self._discover(members)
            self.paths = {name: path for path, name in self.names.items()}
            look |= self.paths.keys()
        look |= {self.names[path] for path in touched if path in self.names}
        overlay = {
            self.names[path]: data
            for path, data in contents.items()
            if path in self.names and _content(path) != data  # what is saved already is as good as on disk
        }
        look |= overlay.keys() | (self.overlay.keys() & self.paths.keys())
        self.overlay = overlay
        if fresh and not self._started:  # nothing is known
            self._started = True
            self._deep = True
            for name in look:
                self.files[name] = (self._stamp(name), b"")
            return
        gone = known - self.paths.keys()
        changed = {name for name in look if self._differs(name)} | gone
        if changed:
            self._change(changed, gone, same=known == self.paths.keys())

    def _other_files(self, touched: Iterable[Path], members: Iterable[Path]) -> bool:
        """Whether there may be other files than before."""
        return any(path not in self.names for path in members) or any(
            path not in self.names or not path.exists() for path in touched
        )

    def _stamp(self, name: str) -> Stamp:
        if name in self.overlay:
            return (0, 0, 0)
        try:
            status = os.stat(self.paths[name])  # noqa: PTH116 - one call for thousands of files
        except OSError:
            return (-1, 0, 0)
        return (status.st_size, status.st_mtime_ns, status.st_ino)

    def _differs(self, name: str) -> bool:
        old = self.files.get(name)
        stamp = self._stamp(name)
        if old is not None and stamp == old[0] and name not in self.overlay:
            return False
        data = self.overlay[name] if name in self.overlay else _content(self.paths[name])
        new = _digest(data) if data is not None else b"-"
        before = old[1] if old is not None else None
        if before == b"":
            before = self._digests.get(name)
        self.files[name] = (stamp, new)
        self._changed = True
        return before != new

    def _change(self, changed: set[str], gone: set[str], *, same: bool) -> None:
        self._load_deep()
        world = self.world
        graph = world.graph
        project = world.project
        more = self.engine.told or self._change_seen  # there will be further changes
        if more or graph.parts:
            self._absorb()
        if more and not graph.followed:
            graph.follow()
            self.answers = {use: answer for use, answer in self.answers.items() if graph.rests_on(use)}
        self._change_seen = True

        def concerns(use: Use) -> bool:
            return project.concerns(use, changed, same=same)

        if self._kept is not None:
            stale, nodes = self._change_kept(self._kept, changed, same=same)
            asked: dict[Use, bytes] = {}
        else:
            asked = {}
            for use in graph.uses_that(concerns, changed) if graph.followed else filter(concerns, graph.uses()):
                known = self.answers.get(use)
                asked[use] = project.answer(use) if known is None else known
            stale = project.change(self.paths, changed, asked, same=same)
            nodes = graph.invalid(stale, [("file", name) for name in changed])
        world.forget(nodes)
        if graph.followed:
            # An answer is known as long as something rests on it: otherwise nobody looks when it changes.
            self.answers.update(asked)
            for use in (*stale, *graph.orphans()):
                self.answers.pop(use, None)
        else:
            for use in asked:
                self.answers.pop(use, None)
        for name in [node[1] for node in nodes if node[0] == "file"] + list(changed):
            self.judged.pop(str(name), None)
            self._judged_before.pop(str(name), None)
            self.results.pop(str(name), None)
        for name in gone:
            self.files.pop(name, None)
        for name in changed:
            self._digests.pop(name, None)
        self._behind += len(changed)

    def _change_kept(self, kept: Kept, changed: set[str], *, same: bool) -> tuple[set[Use], set[Node]]:
        """The questions, of those that answers of earlier runs rest on, that have another answer now; those answers."""
        project = self.world.project
        asked = kept.asked(changed, same=same)
        stale = project.change(self.paths, changed, {use: known[0] for use, known in asked.items()}, same=same)
        of_stars = kept.asked_of_stars(project.stars.rebound)
        stale.update(use for use, known in of_stars.items() if project.answer(use) != known[0])
        asked.update(of_stars)
        invalid = kept.invalid((number for use in stale for number in asked[use][1]), changed)
        self._outdated = stale, invalid
        return stale, set(invalid.values())

    # --- results ------------------------------------------------------------------------------------------------------

    def known(self, path: Path) -> FileResult | None:
        """The result of a file, where nothing has to be judged for it."""
        found = self.results.get(self.names[path])
        return found[1] if found is not None and found[0] == self._report_key(path) else None

    def check(self, path: Path) -> FileResult:
        """Everything about one file: what is reported, what is suppressed and by what, what went wrong."""
        known = self.known(path)
        if known is not None:
            return known
        name = self.names[path]
        shown = os.path.relpath(path, self.engine.root).replace(os.sep, "/")
        source = self.source(name, shown)
        if isinstance(source, Problem):
            return FileResult(shown, problems=(source,))
        judged = self.judge(name, source, shown)
        result = self._report(path, source, shown, judged)
        if not any(problem.internal for problem in judged.problems):
            self.results[name] = (self._report_key(path), result)
            self._changed = True
        return result

    def judge(self, name: str, source: SourceFile, shown: str) -> Judged:
        self._load_deep()
        judged = self._known_judged(name)
        thorough = self._wants_all(name, source)
        if judged is None or (thorough and not judged.thorough):
            from nograd_lint.judge import judge

            node = ("file", name)
            judged = Judged(
                *self.world.record(node, lambda: judge(self, name, source, shown, thorough=thorough)), thorough
            )
            self.judged[name] = judged
            self._fresh += 1
        return judged

    def _known_judged(self, name: str) -> Judged | None:
        if name not in self.judged and name in self._judged_before:
            self.judged[name] = msgspec.msgpack.decode(self._judged_before[name], type=Judged)
        return self.judged.get(name)

    def _wants_all(self, name: str, source: SourceFile | None = None) -> bool:
        """Whether more is asked for than by default: to be reported, or by a comment that suppresses something."""
        from nograd_lint.source import suppressions

        path, resolver = self.paths[name], self.engine.resolver
        enabled = resolver.enabled(path)
        if resolver.nearest(path.parent).settings.min_confidence is Confidence.LOW or enabled & self.engine.optional:
            return True
        return source is not None and "NGL901" in enabled and suppressions.matter(source.analysis)

    def silence(self, path: Path, row: int) -> list[tuple[str, tuple[Evidence, ...]]]:
        """See :meth:`nograd_lint.engine.Engine.silence`."""
        from nograd_lint.judge import silence

        self._load_deep()
        return silence(self, self.names[path], row)

    def _report(self, path: Path, source: SourceFile, shown: str, judged: Judged) -> FileResult:
        from nograd_lint.settings import with_allowed_fix
        from nograd_lint.source import suppressions

        found = judged.found
        if not found and not judged.problems and not suppressions.matter(source.analysis):
            return FileResult(shown)
        pragmas = suppressions.read(source)
        unused = [self._unused(u, source, shown) for u in suppressions.unused(pragmas, found)]
        resolver = self.engine.resolver
        settings = resolver.nearest(path.parent).settings
        enabled, least = resolver.enabled(path), settings.min_confidence.rank
        chosen = [d for d in (*found, *unused) if d.code in enabled and d.confidence.rank >= least]
        allowed = [with_allowed_fix(d, settings, resolver.rules) for d in chosen]
        outcome = suppressions.apply(pragmas, allowed)
        kept = tuple(sorted(outcome.kept, key=lambda d: (d.span, d.code)))
        return FileResult(shown, kept, outcome.suppressed, judged.problems)

    def _report_key(self, path: Path) -> bytes:
        resolver = self.engine.resolver
        return _report_key(resolver.enabled(path), resolver.nearest(path.parent).settings)

    def _unused(self, unused: Unused, source: SourceFile, shown: str) -> Diagnostic:
        rule = self.engine.rules["NGL901"]
        span = unused.pragma.span
        fix = Fix(Applicability.SAFE, "Remove the comment", unused.edits())
        cell = source.cell_at(span.start.row) if source.cells else None
        return Diagnostic(
            rule.code, rule.name, unused.message, rule.severity, Confidence.HIGH, shown, MODULE, span, span,
            fix=fix, cell=cell.number if cell is not None else None,
        )  # fmt: skip

    # --- in several processes -----------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Before there are several processes: make what all of them need, and share no connection."""
        self.world.project.names  # noqa: B018
        self.world.project.marks  # noqa: B018
        if self.cache is not None:
            self.cache.close()

    def unjudged(self, names: Iterable[str]) -> list[str]:
        self._load_deep()

        def known(name: str) -> bool:
            judged = self._known_judged(name)
            return judged is not None and (judged.thorough or not self._wants_all(name))

        return [name for name in names if not known(name)]

    def hold(self, paths: Mapping[str, Path], contents: Mapping[str, bytes], knowledge: Knowledge) -> None:
        """Be a project of which nothing is on disk here."""
        self._started = self._deep = True
        self.paths = dict(paths)
        self.names = {path: name for name, path in paths.items()}
        self.overlay = dict(contents)
        self.files = {name: (self._stamp(name), b"") for name in contents}
        self.knowledge = knowledge

    def give(self, names: Iterable[str], graph: Graph | None = None) -> bytes:
        """What was found out about some files, for another process; ``graph``: what it rests on [all there is]."""
        from nograd_lint.project.graph import encode

        judged = {name: self.judged[name] for name in names if name in self.judged}
        encoded = encode(graph or self.world.graph, self._all_answers(graph))
        parts = self.cache.parts() if self.cache is not None else {}
        return msgspec.msgpack.encode(
            _Share(judged, encoded, self._digests, self.world.project.stars.bindings, parts, self.world.project.lowered)
        )

    def take(self, data: bytes) -> None:
        """What another process found out."""
        from nograd_lint.project.graph import decode

        share = msgspec.msgpack.decode(data, type=_Share)
        self.judged.update(share.judged)
        self._fresh += len(share.judged)
        self._digests.update(share.digests)
        self.world.project.lowered += share.lowered
        self.world.project.stars.bindings.update(share.bindings)
        graph, answers = decode(share.graph).graph((), ())
        self.answers.update(answers)
        self.world.graph.merge(graph)
        if self.cache is not None:
            self.cache.take(share.parts)
        self._changed = True

    # --- for the next run ---------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Keep what is known for the next run."""
        if self.cache is None or not self._changed:
            return
        if self._version and 0 < self._fresh + self._behind < len(self.files) // _FEW:
            # What is kept still holds for what it is about; to judge a few files again is soon done.
            if not self.overlay:
                self.cache.save(self.family, {})
            return
        if self.overlay:  # nothing that is kept may rest on contents that are not on disk
            if self.engine.told or self._saved:
                self.cache.drop()
                return
            self.sync([], {}, everything=False)
        from time import time_ns

        states = {}
        if self._world is not None and (self._fresh or self._behind or not self._version):
            states.update(self._deep_states())
        now = time_ns()
        files = {}
        for name, (stamp, digest) in self.files.items():
            digest = digest or self._digests.get(name, b"")
            if now - stamp[1] < _RECENT:  # it may change once more without another time
                stamp = (-2, 0, 0)
            files[name] = (stamp, digest)
        states["state"] = msgspec.msgpack.encode(_State(self._version, files, self.results))
        self.cache.save(self.family, states)
        self._changed = False
        self._saved = True
        self._fresh = self._behind = 0

    def _deep_states(self) -> dict[str, bytes]:
        from nograd_lint.knowledge import files
        from nograd_lint.project.graph import encode

        world = self.world
        project = world.project
        answers = self.answers = self._all_answers()
        judged = dict(self._judged_before)
        judged.update(
            (name, msgspec.Raw(msgspec.msgpack.encode(one)))
            for name, one in self.judged.items()
            if not any(problem.internal for problem in one.problems)
        )
        stars = project.stars
        bindings = {**stars.kept, **{n: msgspec.Raw(msgspec.msgpack.encode(b)) for n, b in stars.bindings.items()}}
        marks = project.known_marks.by_file if project.known_marks is not None else None
        version = self._version = os.urandom(8)
        deep = _Deep(version, judged, msgspec.Raw(encode(world.graph, answers)), marks)
        names = _Names(version, project.index, bindings)
        encode_state = msgspec.msgpack.encode
        return {"deep": encode_state(deep), "names": encode_state(names), "knowledge": files.pack()}

    def _all_answers(self, graph: Graph | None = None) -> dict[Use, bytes]:
        self._absorb()
        answers: dict[Use, bytes] = {}
        project = self.world.project
        for use in (graph or self.world.graph).uses():
            known = self.answers.get(use)
            answers[use] = project.answer(use) if known is None else known
        return answers

    def rest(self) -> None:
        """Nothing is asked until the next change."""
        if self.cache is not None and self.overlay:
            self.cache.drop()

    def close(self) -> None:
        self.save()
        if self.cache is not None:
            self.cache.close()


_MODES: dict[str, GuardMode] = {"no_grad": "disabled", "inference_mode": "inference", "enable_grad": "enabled"}


def _declared(settings: Settings) -> Framework | None:
    """What the configuration says of the project's own functions, as knowledge of a framework."""
    if not settings.guards and not settings.models:
        return None
    from nograd_lint.knowledge.tables import Framework, Guard, Model

    guards = tuple(
        Guard(names=(guard.name,), mode=_MODES.get(guard.mode, "dynamic"), why="the configuration says so")
        for guard in settings.guards
    )
    return Framework(
        name="configuration", guard=guards, model=(Model(names=settings.models),) if settings.models else ()
    )


_SIGNATURE: list[bytes] = []


def signature() -> bytes:
    """Changes with the tool, its parsers and its rules; the same wherever the same is installed."""
    if not _SIGNATURE:
        import sys
        from importlib.metadata import PackageNotFoundError, version

        found: list[object] = [sys.version_info[:3]]
        for name in ("libcst", "tree-sitter", "tree-sitter-python", "msgspec"):
            try:
                found.append(version(name))
            except PackageNotFoundError:
                found.append(None)
        here = Path(__file__).parent
        for folder in ("", "analysis", "project", "syntax", "rules", "source", "knowledge", "fixes"):
            files = sorted(path for path in (here / folder).iterdir() if path.suffix in (".py", ".toml"))
            found += [(folder, path.name, _digest(path.read_bytes())) for path in files]
        _SIGNATURE.append(_digest(repr(found).encode()))
    return _SIGNATURE[0]


_KEYS: dict[tuple[frozenset[str], Confidence, tuple[tuple[str, ...], ...]], bytes] = {}


def _report_key(enabled: frozenset[str], settings: Settings) -> bytes:
    key = (enabled, settings.min_confidence, settings.allowed_fixes)
    if key not in _KEYS:
        _KEYS[key] = _digest(repr((sorted(enabled), *key[1:])).encode())
    return _KEYS[key]


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def _decoded(data: bytes, kind: type[T]) -> T | None:
    """A state, None where it is not what it should be."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError:
        return None
