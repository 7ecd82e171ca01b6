"""The metrics that the program itself computes, as it is and with the guard: they have to be the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nograd_lint.confirm.compare import lines_of

_WORDS = (
    "acc|accuracy|precision|recall|f1|fscore|f1score|auc|auroc|roc|map|miou|iou|dice|loss|losses|nll|perplexity|ppl|"
    "bleu|rouge|wer|cer|mae|mse|rmse|mape|r2|psnr|ssim|fid|top1|top5|error|confusion|hits|correct|metric|metrics|"
    "specificity|sensitivity|kappa|mcc|hits"
)
_NAME = re.compile(rf"(?<![a-z])(?:\w*_)?({_WORDS})(?:_\w*)?(?![a-z])", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?%?|nan|inf", re.IGNORECASE)
_NUMBERS_ONLY = re.compile(r"[\s\d.,;:%eE+\-\[\]()|]*\d[\s\d.,;:%eE+\-\[\]()|]*\Z")
_TENSOR = re.compile(r"\btensor\(\s*([-+\w.]+)\s*(?:,[^()]*)?\)")  # a single number, as PyTorch prints it
LIMIT = 12


@dataclass
class Metric:
    name: str
    a: str
    b: str

    @property
    def same(self) -> bool:
        return self.a == self.b


def computed(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[Metric]:
    """What the region computes under the name of a metric, in its last fully sampled call."""
    if not a or not b:
        return []
    first, second = dict(_named(a[-1]["values"])), dict(_named(b[-1]["values"]))
    return [Metric(name, first[name], second.get(name, "-")) for name in first][:LIMIT]


def _named(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, digest in values.items():
        label = "" if name.startswith("return ") else name
        yield from _walk(label, digest)


def _walk(name: str, digest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if digest["k"] == "map":
        for key, item in digest["v"].items():
            yield from _walk(key, item)
    elif _NAME.search(name) and (shown := _show(_plain(digest))) is not None:
        yield name, shown


def _plain(digest: Mapping[str, Any]) -> Any:
    """The value behind a digest, where all of it was kept."""
    kind = digest["k"]
    if kind == "number" or (kind == "exact" and digest.get("type") in ("int", "bool")):
        return digest["v"]
    if kind == "list" and digest["n"] == len(digest["v"]):
        return [_plain(item) for item in digest["v"]]
    if kind == "array" and "v" in digest:
        count = 1
        for size in digest["s"]:
            count *= size
        return _shaped(list(digest["v"]), digest["s"]) if count == len(digest["v"]) else None
    return None


def _shaped(values: list[Any], shape: list[int]) -> Any:
    if not shape:
        return values[0]
    step = len(values) // shape[0] if shape[0] else 0
    return [_shaped(values[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


def _show(value: Any) -> str | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, list):
        parts = [_show(item) for item in value]
        if not parts or None in parts or len(parts) > 40:
            return None
        return "[" + ", ".join(part for part in parts if part is not None) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def printed(a: str, b: str) -> list[Metric]:
    """What the program prints as a metric: its name and a number in a line, or a heading with numbers below."""
    first, second = (lines_of(_TENSOR.sub(r"\1", text)) for text in (a, b))
    if len(first) != len(second):
        return []
    found = []
    number = 0
    while number < len(first):
        line = first[number]
        begin = number
        number += 1
        if not _NAME.search(line):
            continue
        value = _NUMBER.search(line, _NAME.search(line).end())  # type: ignore[union-attr]
        if value is None:  # a heading: the rows below it hold the numbers
            while number < len(first) and _NUMBERS_ONLY.match(first[number]):
                number += 1
            if number > begin + 1:
                rows = slice(begin + 1, number)
                name = line.rstrip(": ")
                found.append(Metric(name, _rows(first[rows]), _rows(second[rows])))
            continue
        name = line[: value.start()].strip(" :=\t-|")
        found.append(Metric(name, line[value.start() :], _after(second[begin], name, value.start())))
    return found[:LIMIT]


def _after(line: str, name: str, start: int) -> str:
    return line[start:] if line.startswith(name) else line


def _rows(lines: list[str]) -> str:
    return "\n".join(" ".join(line.split()) for line in lines)
