"""Which module calls are running, through torch's global module hooks (runs in the user's interpreter)."""

from __future__ import annotations

import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.nn.modules import module as nn_module


def is_compiling() -> bool:
    """Whether torch.compile is tracing right now; hooks must do nothing then."""
    compiler = getattr(torch, "compiler", None)
    if compiler is not None and hasattr(compiler, "is_compiling"):
        return bool(compiler.is_compiling())
    dynamo = sys.modules.get("torch._dynamo")  # torch 2.0
    return dynamo is not None and bool(dynamo.is_compiling())


class ModuleCalls:
    """The stack of module calls of one thread, from ``install`` to ``remove``.

    ``before(module, args, kwargs)`` is called with the stack as it is outside the call, ``after(module, output)``
    likewise.
    """

    def __init__(
        self,
        before: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], None],
        after: Callable[[Any, Any], None],
    ) -> None:
        self.stack: list[Any] = []
        self.other_threads = 0
        self._before = before
        self._after = after
        self._thread = threading.get_ident()
        self._handles: list[Any] = []
        self._names: weakref.WeakKeyDictionary[Any, dict[int, str]] = weakref.WeakKeyDictionary()

    def install(self) -> None:
        register = nn_module.register_module_forward_hook
        # Without always_call (torch 2.0) a forward that raises leaves its entry behind until the region ends.
        always = {"always_call": True} if "always_call" in inspect.signature(register).parameters else {}
        self._handles = [nn_module.register_module_forward_pre_hook(self._enter), register(self._leave, **always)]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self.stack.clear()

    def label(self) -> str:
        """The innermost running module, by its name in the outermost one and its class: ``layers.0 (Linear)``."""
        if not self.stack:
            return ""
        module, outermost = self.stack[-1], self.stack[0]
        if outermost not in self._names:
            self._names[outermost] = {id(child): name for name, child in outermost.named_modules()}
        kind = type(module).__name__
        name = self._names[outermost].get(id(module), "")
        return f"{name} ({kind})" if name else kind

    def _enter(self, module: Any, args: tuple[Any, ...]) -> None:
        if is_compiling():
            return
        if threading.get_ident() != self._thread:
            self.other_threads += 1
            return
        # Global pre-hooks are not given the keyword arguments: they are in the frame that calls us.
        kwargs = sys._getframe(1).f_locals.get("kwargs")
        self._before(module, args, kwargs if isinstance(kwargs, Mapping) else {})
        self.stack.append(module)

    def _leave(self, module: Any, _args: tuple[Any, ...], output: Any) -> None:
        if is_compiling() or threading.get_ident() != self._thread:
            return
        while self.stack:
            if self.stack.pop() is module:
                break
        self._after(module, output)


def tensors_in(value: object, depth: int = 4) -> Iterator[torch.Tensor]:
    """The tensors in arguments or results: in containers, and in the attributes of small objects (batches, outputs)."""
    if isinstance(value, torch.Tensor):
        yield value
    elif depth == 0 or value is None or isinstance(value, (str, bytes, int, float, torch.nn.Module)):
        return
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item, depth - 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from tensors_in(item, depth - 1)
    elif isinstance(getattr(value, "__dict__", None), dict):
        for item in list(vars(value).values()):
            yield from tensors_in(item, depth - 1)
