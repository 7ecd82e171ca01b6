"""Which units of a file are worth parsing: those whose text holds a word that some rule could be about."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.analysis.values import evaluation_by_name
from nograd_lint.project.file import MODULE, File
from nograd_lint.project.index import Symbol
from nograd_lint.syntax.search import Patterns, in_prose, lines, mentions

if TYPE_CHECKING:
    from nograd_lint.project.summaries import World

# Words of guards, training and gradients: any rule may be about them.
_STRONG = re.compile(
    rb"no_grad|inference_mode|enable_grad|set_grad_enabled|requires?_grad|\.eval\b|\.backward\(|\bautograd\b|volatile|"
    rb"manual_backward|\.training\b[ \t]*=|\bnograd|optimi[sz]er\.step\(|set_detect_anomaly|\bvjp\(|"
    rb"\bjacrev\(|func\.grad"
)
# One of these stands in whatever the pattern above finds: looking for them first is ten times as fast.
_LITERALS = (
    b"grad", b"inference_mode", b".eval", b"backward(", b"volatile", b".training", b"zer.step(", b"set_detect_anomaly",
    b"vjp(", b"jacrev(",
)  # fmt: skip
# What evaluation does with outputs. Alone it says little; with a loop or a name it makes a candidate.
_DETACHING = Patterns((rb"\.item\(", rb"\bargmax\(", rb"\.detach\(", rb"\.tolist\(", rb"\.numpy\(", rb"torch\.max\("))
_WEAK = re.compile(
    rb"\.item\(\)|\.argmax\(|torch\.max\(|\.detach\(\)|\.numpy\(\)|\.tolist\(\)|\.max\(|\.topk\(|argmax\(|"
    rb"\.cpu\(\)|metric|"
    rb"accuracy|\.data\b|\bfloat\(|\bprint\(|(?:model|net|network|module|encoder|policy|self)\("
)
# What may run later, when a guard does not hold any more.
_LATER = Patterns(
    (
        rb"\byield\b",
        rb"\bawait\b",
        rb"\basync\b",
        rb"\blambda\b",
        rb"\bdef[ \t]+\w+[ \t]*\(",
        rb"\bclass[ \t]+\w+[ \t]*[(:]",
    )
)
# What counts in the ``forward`` of a module, which whoever calls the module is responsible for.
_CUTTING = Patterns((rb"\.detach", rb"\.data\b", rb"\.numpy\("))
_DEF = re.compile(rb"\bdef[ \t\\\r\n\f]+(\w+)")


def _strong(data: bytes) -> Iterator[int]:
    for start, end in lines(data, _LITERALS):
        for match in _STRONG.finditer(data, start, end):
            if not in_prose(data, match.start()):
                yield match.start()


def _evaluates(data: bytes) -> bool:
    """Whether a function is defined that counts as evaluation by its name."""
    names = {name.decode("utf-8", "replace") for name in _DEF.findall(data)}
    return any(name == "__call__" or evaluation_by_name(name) for name in names)


def candidates(world: World, file: File) -> list[str]:
    """Names of the units to judge, in the order of the file; the module body last."""
    data = file.data
    strong = list(_strong(data))
    detaching = sorted(at for at in _DETACHING.offsets(data) if not in_prose(data, at))
    if not strong and not detaching and not _evaluates(data):
        return []  # most files of a library: they need no outline
    chosen = {file.unit_at(offset) for offset in strong}
    units = sorted((d.start, d.end, name) for name, d in file.units.items())
    for start, end, name in units:
        if name in chosen:
            continue
        plain = name.partition("#")[0]
        named = evaluation_by_name(plain)
        if named == 2 and not plain.rpartition(".")[2].startswith("test_"):
            found = True  # it may leave everything to others
        elif named or plain.endswith(".__call__"):
            found = any(not in_prose(data, match.start()) for match in _WEAK.finditer(data, start, end))
        else:
            at = bisect_left(detaching, start)
            found = at < len(detaching) and detaching[at] < end
        if found and plain.endswith(".forward") and not _CUTTING.search(data, start, end):
            found = not world.is_module(Symbol("class", file.path, plain.rpartition(".")[0]))
        if found:
            chosen.add(name)
    return [name for _, _, name in units if name in chosen] + ([MODULE] if MODULE in chosen else [])


def settled(world: World, file: File, unit: str, words: Patterns) -> bool:
    """Whether a function runs under a guard from end to end, and by its text nothing in it is a rule's concern.

    ``words``: what makes it one for some rule that is on by default.
    """
    if unit == MODULE or not world.guarded_by_decorator(file.path, unit):
        return False
    text, body = file.unit_bytes(unit), file.body_bytes(unit)
    if words.search(text) or _LATER.search(body) or any(True for _ in _strong(body)):
        return False
    return not mentions(body, world.project.wakers())
