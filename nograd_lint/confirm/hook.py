"""See to it that the target files are compiled with their probes (runs in the user's interpreter).

Everything that turns source into code ends in ``builtins.compile``: the import system, ``runpy``, ``exec`` of a
script, and pytest after it has rewritten assertions. So it is the one place to hook. Cached bytecode is neither read
nor written for a target, whatever loader asks for it.
"""

from __future__ import annotations

import ast
import builtins
import importlib._bootstrap_external as bootstrap
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable
from typing import Any

from .instrument import Region, instrument


class Targets:
    """The files to instrument: absolute real path -> regions, and the text to use instead of the file's where given."""

    def __init__(self, files: dict[str, dict[str, Any]]) -> None:
        self.regions: dict[str, list[Region]] = {}
        self.texts: dict[str, str] = {}
        self.found: set[int] = set()
        self._known: dict[str, str | None] = {}
        for path, entry in files.items():
            real = os.path.realpath(path)
            self.regions[real] = [Region(r["id"], tuple(r["first"]), tuple(r["last"])) for r in entry["regions"]]
            if entry.get("text") is not None:
                self.texts[real] = entry["text"]

    def path(self, filename: object) -> str | None:
        """The target that a file name given to ``compile`` stands for."""
        name = os.fsdecode(filename) if isinstance(filename, (str, bytes, os.PathLike)) else ""
        if name not in self._known:
            real = os.path.realpath(name) if name and not name.startswith("<") else ""
            self._known[name] = real if real in self.regions else None
        return self._known[name]


def install(targets: Targets, on_import: dict[str, Callable[[Any], None]]) -> None:
    """Hook ``compile``, keep targets off cached bytecode, and call ``on_import[name]`` after a module's import."""
    original = builtins.compile

    def compile_with_probes(
        source: Any, filename: Any, mode: str, flags: int = 0, dont_inherit: bool = False, optimize: int = -1, **kw: Any
    ) -> Any:
        if not dont_inherit:
            # What ``compile`` would take from its caller, who is now this function.
            flags |= sys._getframe(1).f_code.co_flags & _FUTURES
        path = targets.path(filename) if mode == "exec" else None
        if path is not None:
            if not isinstance(source, ast.AST):
                source = targets.texts.get(path, source)
            if not flags & ast.PyCF_ONLY_AST:  # a tree is often asked for first, to be changed and compiled later
                if not isinstance(source, ast.AST):
                    source = original(source, filename, mode, flags | ast.PyCF_ONLY_AST, True, optimize, **kw)
                targets.found.update(instrument(source, targets.regions[path]))
        return original(source, filename, mode, flags, True, optimize, **kw)

    builtins.compile = compile_with_probes

    cached = bootstrap.cache_from_source

    def no_cache_for_targets(path: Any, *args: Any, **kw: Any) -> Any:
        if targets.path(path) is not None:
            raise NotImplementedError  # how the import system is told that there is no bytecode cache
        return cached(path, *args, **kw)

    def no_cache_for_test_modules(rewrite: Any) -> None:
        """pytest keeps test modules with rewritten assertions in a cache of its own."""
        read = getattr(rewrite, "_read_pyc", None)
        if read is not None:
            rewrite._read_pyc = lambda path, *args: None if targets.path(path) is not None else read(path, *args)

    bootstrap.cache_from_source = no_cache_for_targets
    sys.meta_path.insert(0, _AfterImport({"_pytest.assertion.rewrite": no_cache_for_test_modules, **on_import}))


def _futures() -> int:
    import __future__

    mask = 0
    for name in __future__.all_feature_names:
        mask |= getattr(__future__, name).compiler_flag
    return mask


_FUTURES = _futures()


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finds nothing itself: lets the other finders find the modules waited for, and calls back once they are there."""

    def __init__(self, callbacks: dict[str, Callable[[Any], None]]) -> None:
        self.callbacks = dict(callbacks)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name not in self.callbacks:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    self._wrap(spec.loader, self.callbacks.pop(name))
                return spec
        return None

    @staticmethod
    def _wrap(loader: Any, callback: Callable[[Any], None]) -> None:
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            callback(module)

        loader.exec_module = exec_module
