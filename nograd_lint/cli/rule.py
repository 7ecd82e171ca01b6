"""``nograd-lint rule``: the documentation of a rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from nograd_lint.cli import Failure

if TYPE_CHECKING:
    from nograd_lint.rules._base import Rule


@click.command()
@click.argument("rules", nargs=-1, metavar="[CODE|NAME]...")
@click.option("--all", "everything", is_flag=True, help="All rules.")
@click.option(
    "--output-format",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="Format.",
)
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colours.")
def rule(rules: tuple[str, ...], everything: bool, output_format: str, color: str) -> int:
    """Explain rules: what they find, why it is bad, examples, and whether the fix is safe.

    Without arguments: a table of all rules.
    """
    from nograd_lint.cli.output import wants_color, write
    from nograd_lint.report import rule_docs
    from nograd_lint.rules import registry

    known = registry.all_rules()
    chosen = [_find(word, known) for word in rules]
    if everything or (not rules and output_format != "text"):
        chosen = list(known.values())
    colored = wants_color(color)
    if output_format == "json":
        from nograd_lint.report.json import dumps

        found = [_record(one) for one in chosen]
        write(dumps(found[0] if len(rules) == 1 and not everything else found), machine=True)
    elif output_format == "markdown":
        write("\n".join(rule_docs.markdown(one) for one in chosen), machine=True)
    elif chosen:
        separator = "\n" + "─" * 79 + "\n\n"
        write(separator.join(rule_docs.text(one, color=colored) for one in chosen), color=colored)
    else:
        write(_table(known, colored), color=colored)
    return 0


def _find(word: str, known: Mapping[str, Rule]) -> Rule:
    from nograd_lint.rules import registry
    from nograd_lint.settings import did_you_mean

    found = registry.find(word)
    if found is None:
        hint = did_you_mean(word, [*known, *(one.name for one in known.values())])
        raise Failure(f"unknown rule `{word}`{hint}")
    return found


def _record(one: Rule) -> dict[str, Any]:
    from nograd_lint.report import rule_docs
    from nograd_lint.report.run import rule_url

    return {
        "code": one.code,
        "name": one.name,
        "summary": one.summary,
        "severity": one.severity.value,
        "default": one.default,
        "fixable": one.fixable,
        "kind": one.kind.value,
        "url": rule_url(one.code),
        "explanation": rule_docs.markdown(one, heading=False),
    }


def _table(known: Mapping[str, Rule], colored: bool) -> str:
    from nograd_lint.report.summary import SEVERITY_COLORS, paint

    width = max((len(one.name) for one in known.values()), default=0)
    lines = []
    for one in known.values():
        marks = f"{'fix' if one.fixable else '   '} {'   ' if one.default else 'off'}"
        severity = paint(f"{one.severity.value:<7}", colored, SEVERITY_COLORS[one.severity])
        lines.append(f"{paint(one.code, colored, bold=True)}  {one.name:<{width}}  {severity}  {marks}  {one.summary}")
    return "".join(line.rstrip() + "\n" for line in lines)
