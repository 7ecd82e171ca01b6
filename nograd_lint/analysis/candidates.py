"""Which units of a file are worth parsing: those whose text holds a word that some rule could be about."""

from __future__ import annotations

import re

from nograd_lint.analysis.values import evaluation_by_name
from nograd_lint.project.index import MODULE, File

# Words of guards, training and gradients: any rule may be about them.
_STRONG = re.compile(
    rb"no_grad|inference_mode|enable_grad|set_grad_enabled|requires?_grad|\.eval\b|\.backward\(|\bautograd\b|volatile|"
    rb"manual_backward|\.training\b[ \t]*=|\bnograd|optimi[sz]er\.step\(|set_detect_anomaly|\bvjp\(|\bjacrev\(|func\.grad"
)
# What evaluation does with outputs. Alone it says little; with a loop or a name it makes a candidate.
_DETACHING = re.compile(rb"\.(?:item|argmax|detach|tolist|numpy)\(|\bargmax\(|torch\.max\(")
_WEAK = re.compile(
    rb"\.item\(\)|\.argmax\(|torch\.max\(|\.detach\(\)|\.numpy\(\)|\.tolist\(\)|\.max\(|\.topk\(|argmax\(|\.cpu\(\)|metric|"
    rb"accuracy|\.data\b|\bfloat\(|\bprint\(|\b\w*(?:model|net|network|module|encoder|policy)\("
)


def candidates(file: File) -> list[str]:
    """Names of the units to judge, in the order of the file; the module body last."""
    data = file.data
    chosen = {file.unit_at(match.start()) for match in _STRONG.finditer(data)}
    units = sorted((d.start, d.end, name) for name, d in file.units.items())
    for start, end, name in units:
        if name in chosen:
            continue
        words = _WEAK if evaluation_by_name(name.partition("#")[0]) else _DETACHING
        if words.search(data, start, end):
            chosen.add(name)
    return [name for _, _, name in units if name in chosen] + ([MODULE] if MODULE in chosen else [])
