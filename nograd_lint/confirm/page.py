"""The report as one HTML page that needs nothing else: ``--html``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from nograd_lint.confirm.chart import path
from nograd_lint.confirm.text import place, summary
from nograd_lint.report.run import rule_url
from nograd_lint.report.text import size

WIDTH, HEIGHT = 720, 200


def render(document: Mapping[str, Any]) -> str:
    style = files("nograd_lint.confirm").joinpath("page.css").read_text("utf-8")
    results = "\n".join(_result(number, result, document) for number, result in enumerate(document["results"], 1))
    command = " ".join(document["command"])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>nograd-lint confirm: {escape(command)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<header>
<h1>What the diagnostics cost, measured</h1>
<p><code class="command">{escape(command)}</code></p>
<p>{escape(summary(document))}</p>
</header>
{results}
{_printed(document)}
{_environment(document)}
</main>
</body>
</html>
"""


def _result(number: int, result: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    verdict = result["verdict"]
    function = "" if result["function"].startswith("<") else f" in <code>{escape(result['function'])}()</code>"
    shown = escape(verdict.replace("_", " "))
    heading = f'<code>{escape(place(result))}</code> <span class="verdict {verdict}">{shown}</span>'
    rule = f'<a href="{rule_url(result["code"])}">{escape(result["code"])}</a> {escape(result["name"])}'
    parts = [
        f'<section class="result" aria-labelledby="r{number}">',
        f'<h2 id="r{number}">{heading}</h2>',
        f"<p>{rule}{function}. {escape(_sentence(result['why']))}</p>",
        _tiles(result),
        _curves(result, document["guard"]),
        _metrics(result["metrics"], document["guard"], "Metrics in the region"),
        _sites(result),
        _notes(result),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _tiles(result: Mapping[str, Any]) -> str:
    tiles = []
    if result["saved"] is not None and result["saved"]["A"]:
        tiles.append(_tile("held for backward", result["saved"]))
        tiles.append(_tile("peak in the region", result["peak"]))
        tiles.append(_tile("still held after the call", result["held"]))
    time = result["time"]
    if time is not None and time["ratio"] is not None:
        low, high = time["ci"]
        detail = f"{time['claim']}; 95 % interval {low:.2f} to {high:.2f}, {time['pairs']} pairs"
        tiles.append(
            f'<div class="tile"><dt>model forward time</dt><dd>{time["ratio"]:.2f}×</dd>'
            f'<dd class="detail">{escape(detail)}</dd></div>'
        )
    train = result["train"]
    if train is not None and train["A"] is not None:
        how = "with the fix" if result["fix"]["executed"] else "with gradients"
        for name, run in (("as it is", "A"), (how, "B")):
            counts = _counts(train[run])
            if counts is not None:
                tiles.append(
                    f'<div class="tile"><dt>parameters with a gradient, {name}</dt>'
                    f"<dd>{counts['with_gradient']} of {counts['parameters']}</dd>"
                    f'<dd class="detail">{counts["changed"]} changed in {counts["steps"]} steps</dd></div>'
                )
    return f'<dl class="tiles">{"".join(tiles)}</dl>' if tiles else ""


def _counts(train: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if train is None:
        return None
    counts: Mapping[str, Any] = train["inside"] if train["inside"]["steps"] else train["after"]
    return counts if counts["steps"] else None


def _tile(name: str, pair: Mapping[str, Any]) -> str:
    a, b = pair["A"], pair["B"]
    after = "" if b is None else f' <span class="arrow" aria-label="becomes">→</span> {_size(b)}'
    less = f"{a / b:.1f}" if b and a < 1000 * b else "over 1000"
    ratio = f'<dd class="detail">{less} times less</dd>' if b and a > b else ""
    return f'<div class="tile"><dt>{name}</dt><dd>{_size(a)}{after}</dd>{ratio}</div>'


def _size(number: float) -> str:
    return size(number).replace(" ", "\N{NO-BREAK SPACE}")


def _curves(result: Mapping[str, Any], guard: str) -> str:
    timeline = result["timeline"]
    if not timeline or not timeline["A"] or not result["peak"]["A"]:
        return ""
    peak = result["peak"]
    highest = max(peak["A"], peak["B"] or 0)
    drawn = [(name, run, timeline[run]) for name, run in (("as it is", "A"), (f"with {guard}", "B")) if timeline[run]]
    # Each run on its own time: the measurement itself slows both, and not alike.
    paths = "".join(
        f'<path class="curve {run}" d="{path(points, points[-1][0], highest, WIDTH, HEIGHT)}"/>'
        for _, run, points in drawn
    )
    lines = "".join(
        f'<line x1="0" x2="{WIDTH}" y1="{HEIGHT * share:.0f}" y2="{HEIGHT * share:.0f}"/>' for share in (0, 0.5)
    )
    legend = "".join(f'<li class="{run}">{escape(name)}: {size(peak[run])}</li>' for name, run, _ in drawn)
    told = ", ".join(f"{name} up to {size(peak[run])}" for name, run, _ in drawn)
    return f"""<figure>
<figcaption>Memory in the region over the time of one call<ul class="legend">{legend}</ul></figcaption>
<div class="chart"><div class="axis" aria-hidden="true"><span>{size(highest)}</span><span>{size(highest / 2)}</span>\
<span>0</span></div>
<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{escape(told)}">
<g class="grid">{lines}</g>{paths}</svg></div>
</figure>"""


def _metrics(metrics: Sequence[Mapping[str, Any]], guard: str, caption: str) -> str:
    if not metrics:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(m["name"])}</th><td class="value">{escape(m["a"])}</td>'
        f'<td class="value">{escape(m["b"])}</td>'
        f"<td>{'equal' if m['same'] else '<strong>different</strong>'}</td></tr>"
        for m in metrics
    )
    return (
        '<div class="table"><table>'
        f"<caption>{escape(caption)}</caption><thead>"
        '<tr><th scope="col">metric</th>'
        f'<th scope="col">as it is</th><th scope="col">with {escape(guard)}</th><th scope="col"></th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _sites(result: Mapping[str, Any]) -> str:
    sites = result["saved"]["sites"] if result["saved"] is not None else []
    if not sites:
        return ""
    whole = result["saved"]["A"]
    rows = "".join(
        f"<tr><th scope='row'><code>{escape(s['filename'])}:{s['line']}</code></th><td>{escape(s['module'])}</td>"
        f'<td class="number">{size(s["bytes"])}</td><td class="share"><span style="width:{s["bytes"] / whole:.1%}">'
        f"</span></td></tr>"
        for s in sites[:40]
    )
    more = f"<p>and {len(sites) - 40} more</p>" if len(sites) > 40 else ""
    return (
        '<details open><summary>Where it is saved</summary><div class="table"><table><thead><tr>'
        '<th scope="col">line</th><th scope="col">module</th><th scope="col" class="number">held for backward</th>'
        f'<th scope="col"><span class="hidden">share</span></th></tr></thead><tbody>{rows}</tbody></table></div>'
        f"{more}</details>"
    )


def _notes(result: Mapping[str, Any]) -> str:
    items = [escape(_sentence(note)) for note in result["notes"]]
    fix = result["fix"]
    ran = result["verdict"] in ("confirmed", "refuted")
    if ran and fix["executed"]:
        items.append("What was run is the fix itself.")
    elif ran and fix["equals_run_b"]:
        items.append(f"What was run is what the fix does: {escape(fix['why'])}.")
    elif ran and fix["equals_run_b"] is False:
        items.append(f"What was run is not what the fix does: {escape(fix['why'])}.")
    estimate = result["estimate"]
    if estimate and estimate["saved"]:
        told = ", ".join(f"{size(n)} at batch {b}" for b, n in estimate["saved"].items() if int(b) != estimate["batch"])
        items.append(
            f"One model call saves {size(estimate['measured'])} at batch {estimate['batch']}; estimate: {told}."
        )
    if result["suppression"]:
        items.append(f"To silence it: <code>{escape(result['suppression'])}</code>")
    return f"<ul class='notes'>{''.join(f'<li>{item}</li>' for item in items)}</ul>" if items else ""


def _printed(document: Mapping[str, Any]) -> str:
    table = _metrics(document["metrics"], document["guard"], "Metrics in its output")
    return f"<section><h2>What the program prints</h2>{table}</section>" if table else ""


def _environment(document: Mapping[str, Any]) -> str:
    facts = [
        ("tool", document["tool"]),
        ("torch", document["torch"] or "not imported"),
        ("Python", document["python"] or "-"),
        ("device", document["device"] or "-"),
        ("machine", document["machine"]),
        ("date", document["date"]),
    ]
    rows = "".join(f"<div><dt>{name}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts)
    runs = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(str(run['exit_code']))}</td>"
        f'<td class="number">{run["seconds"]:.1f} s</td><td class="number">{size(run["max_rss"])}</td>'
        f"<td>{escape(run['stopped'] or run['exception'] or '')}</td></tr>"
        for name, run in document["runs"].items()
    )
    return f"""<section class="environment">
<h2>Environment and runs</h2>
<dl class="facts">{rows}</dl>
<div class="table"><table><thead><tr><th scope="col">run</th><th scope="col">exit code</th>
<th scope="col" class="number">time</th><th scope="col" class="number">resident memory</th><th scope="col">ended by</th>
</tr></thead><tbody>{runs}</tbody></table></div>
</section>"""
