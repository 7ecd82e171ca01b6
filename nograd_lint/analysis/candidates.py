"""Which units of a file are worth parsing: those whose text holds a word that some rule could be about."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nograd_lint.analysis.values import evaluation_by_name
from nograd_lint.project.index import MODULE, File

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
_DETACHING = re.compile(rb"\.(?:item|argmax|detach|tolist|numpy)\(|\bargmax\(|torch\.max\(")
_WEAK = re.compile(
    rb"\.item\(\)|\.argmax\(|torch\.max\(|\.detach\(\)|\.numpy\(\)|\.tolist\(\)|\.max\(|\.topk\(|argmax\(|"
    rb"\.cpu\(\)|metric|"
    rb"accuracy|\.data\b|\bfloat\(|\bprint\(|(?:model|net|network|module|encoder|policy|self)\("
)
_DEF = re.compile(rb"\bdef[ \t\\\r\n\f]+(\w+)")


def _strong(data: bytes) -> Iterator[int]:
    lines = set()
    for literal in _LITERALS:
        at = data.find(literal)
        while at >= 0:
            start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
            end = len(data) if end < 0 else end
            lines.add((start, end))
            at = data.find(literal, end)
    for start, end in lines:
        for match in _STRONG.finditer(data, start, end):
            yield match.start()


def _evaluates(data: bytes) -> bool:
    """Whether a function is defined that counts as evaluation by its name."""
    names = {name.decode("utf-8", "replace") for name in _DEF.findall(data)}
    return any(name == "__call__" or evaluation_by_name(name) for name in names)


def candidates(file: File) -> list[str]:
    """Names of the units to judge, in the order of the file; the module body last."""
    data = file.data
    strong = list(_strong(data))
    if not strong and _DETACHING.search(data) is None and not _evaluates(data):
        return []  # most files of a library: they need no outline
    chosen = {file.unit_at(offset) for offset in strong}
    units = sorted((d.start, d.end, name) for name, d in file.units.items())
    for start, end, name in units:
        if name in chosen:
            continue
        plain = name.partition("#")[0]
        words = _WEAK if evaluation_by_name(plain) or plain.endswith(".__call__") else _DETACHING
        if words.search(data, start, end):
            chosen.add(name)
    return [name for _, _, name in units if name in chosen] + ([MODULE] if MODULE in chosen else [])
