"""The report for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nograd_lint.confirm.chart import blocks
from nograd_lint.report.text import size

COLORS = {"confirmed": "red", "refuted": "green", "not_reached": "yellow", "error": "magenta"}
LABEL = 34
CHART = 60


def render(document: Mapping[str, Any], *, color: bool = False) -> str:
    """All results, then one line that counts them."""
    parts = [_result(result, document, color) for result in document["results"]]
    if document["metrics"]:
        printed = ["What the program prints", *_metrics(document["metrics"], document["guard"])]
        parts.append("\n".join(printed) + "\n")
    parts.append(summary(document))
    return "\n".join(parts) + "\n"


def summary(document: Mapping[str, Any]) -> str:
    counts: dict[str, int] = {}
    for result in document["results"]:
        counts[result["verdict"]] = counts.get(result["verdict"], 0) + 1
    told = ", ".join(f"{counts[v]} {v.replace('_', ' ')}" for v in COLORS if v in counts)
    a = document["runs"].get("A")
    code = "" if a is None or a["stopped"] else f"; the program's exit code was {a['exit_code']}"
    machine = f" (torch {document['torch']}, {document['device']})" if document["torch"] else ""
    return f"{told or 'nothing to confirm'}{machine}{code}"


def place(result: Mapping[str, Any]) -> str:
    first, last = result["region"]["location"]["row"], result["region"]["end_location"]["row"]
    rows = str(first) if first == last else f"{first}-{last}"
    return f"{result['filename']}:{rows}"


def _result(result: Mapping[str, Any], document: Mapping[str, Any], color: bool) -> str:
    import click

    verdict = result["verdict"].replace("_", " ").upper()
    if color:
        verdict = click.style(verdict, fg=COLORS[result["verdict"]], bold=True)
    function = "" if result["function"].startswith("<") else f" {result['function']}()"
    lines = [f"{result['code']} {place(result)}{function}  {verdict}  {result['why']}"]
    lines += _memory(result) if result["kind"] == "guard" else []
    lines += _time(result)
    if result["verdict"] == "confirmed":
        lines += _metrics(result["metrics"], document["guard"])
    lines += _chart(result, document["guard"])
    fix = result["fix"]
    if fix["executed"] and result["verdict"] in ("confirmed", "refuted"):
        lines.append(_line("the proposed fix", "is what was run"))
    elif fix["equals_run_b"] is False and result["verdict"] == "confirmed":
        lines.append(_line("the proposed fix", f"is not what was run: {fix['why']}; --run-patch runs it"))
    lines += [_line("note", note) for note in result["notes"]]
    if result["suppression"]:
        lines.append(_line("to silence it", result["suppression"]))
    return "\n".join(lines) + "\n"


def _line(label: str, text: str) -> str:
    return f"  {label:<{LABEL - 1}} {text}"


def change(pair: Mapping[str, Any], *, ratio: bool = False) -> str:
    """``5.0 MiB -> 0 B``, and how many times less where that says something."""
    a, b = pair["A"], pair["B"]
    if b is None:
        return size(a)
    text = f"{size(a)} -> {size(b)}"
    return f"{text}   ({a / b:.1f}x)" if ratio and b > 0 and a > b else text


def _memory(result: Mapping[str, Any]) -> list[str]:
    if result["saved"] is None or (result["verdict"] == "refuted" and not result["saved"]["A"]):
        return []
    saved, total, peak, held = (result[key] for key in ("saved", "saved_total", "peak", "held"))
    sites = ", ".join(
        f"{s['filename']}:{s['line']}{' ' + s['module'] if s['module'] else ''} {size(s['bytes'])}"
        for s in saved["sites"][:2]
    )
    rest = len(saved["sites"]) - 2
    lines = [_line("held for backward, per call", change(saved))]
    if sites:
        lines.append(_line("", f"from {sites}" + (f" and {rest} more" if rest > 0 else "")))
    if total["A"] != saved["A"]:
        lines.append(_line("saved in all, per call", change(total)))
    lines.append(_line(f"peak in the region ({peak['source']})", change(peak, ratio=True)))
    lines.append(_line("still held after the call", change(held)))
    if held["growth_per_batch"] and held["growth_per_batch"] > 1024:
        lines.append(_line("grows within a call by", f"{size(held['growth_per_batch'])} per batch"))
    if held["growth_per_call"] and result["verdict"] == "confirmed":
        lines.append(_line("LEAK", f"{size(held['growth_per_call'])} more stay held after every call"))
    estimate = result["estimate"]
    if estimate and estimate["saved"]:
        others = [f"{b}: {size(n)}" for b, n in estimate["saved"].items() if int(b) != estimate["batch"]]
        own = f"{estimate['batch']}: {size(estimate['measured'])}"
        lines.append(_line("saved per model call, by batch", f"{own}; estimate for {', '.join(others)}"))
    return lines


def _time(result: Mapping[str, Any]) -> list[str]:
    time = result["time"]
    if time is None:
        return []
    if time["ratio"] is None:
        return [_line("model forward time", f"not timed: {time['pairs']} pairs of calls are too few")]
    low, high = time["ci"]
    claim = {"faster": "faster with the guard", "slower": "slower with the guard"}.get(time["claim"], time["claim"])
    unit = "GPU time" if time["unit"] == "cuda" else f"CPU time, {time['threads']} thread"
    figures = f"{time['ratio']:.2f}x [{low:.2f}, {high:.2f}], {time['pairs']} pairs, {unit}"
    return [_line("model forward time", f"{figures}: {claim}")]


def _metrics(metrics: Sequence[Mapping[str, Any]], guard: str) -> list[str]:
    if not metrics:
        return []
    lines = [_line("metrics", f"as it is | with {guard}")]
    for metric in metrics:
        other = "equal" if metric["same"] else f"{metric['b']}  DIFFERENT"
        text = f"{metric['a']} | {other}".replace("\n", " / ")
        lines.append(_line(f"  {metric['name']}", text))
    return lines


def _chart(result: Mapping[str, Any], guard: str) -> list[str]:
    timeline = result["timeline"]
    if not timeline or not timeline["B"] or result["verdict"] != "confirmed":
        return []
    peak = result["peak"]
    highest = max(peak["A"], peak["B"], 1)
    return [
        f"  {name:<14} {blocks(timeline[run], highest, CHART)} {size(peak[run])}"
        for name, run in (("as it is", "A"), (guard, "B"))
    ]
