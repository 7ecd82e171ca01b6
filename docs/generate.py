"""Write the pages that follow from the code: rules, configuration, and an example of every output format.

python docs/generate.py           write them
python docs/generate.py --check   exit with 1 where one is not what would be written
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from nograd_lint.cli.config import toml
from nograd_lint.report import FORMATS, rule_docs
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import field_docs

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/generate.py. -->\n\n"
LANGUAGES = {"text": "text", "concise": "text", "github": "text", "junit": "xml", "json-lines": "json"}
ABOUT = {
    "text": "The default, for people: the code, the evidence, and what the fix would be.",
    "concise": "A line for each diagnostic.",
    "json": "A list of everything that is known of each diagnostic.",
    "json-lines": "The same, one diagnostic a line.",
    "sarif": "SARIF 2.1.0, complete for GitHub code scanning: help of the rules, fingerprints, related places, fixes.",
    "github": "Workflow commands that GitHub Actions turns into annotations.",
    "gitlab": "GitLab's code quality report.",
    "junit": "JUnit XML, which most CI servers read.",
}
GROUPS = {
    "NGL1": "Evaluation that tracks gradients",
    "NGL2": "Training without gradients",
    "NGL3": "Guards without effect",
    "NGL4": "Evaluation mode and freezing",
    "NGL5": "Style",
    "NGL9": "About the linting itself",
}


def pages() -> Iterator[tuple[str, str]]:
    """Name and text of every page."""
    rules = all_rules()
    index = ["# Rules\n"]
    for prefix, title in GROUPS.items():
        members = [rule for code, rule in rules.items() if code.startswith(prefix)]
        if members:
            index += [f"## {title}\n", "| code | name | severity | default | fix | |", "|---|---|---|---|---|---|"]
            index += [
                f"| [{rule.code}]({rule.code}.md) | {rule.name} | {rule.severity.value} "
                f"| {'on' if rule.default else 'off'} | {'yes' if rule.fixable else ''} | {rule.summary} |"
                for rule in members
            ]
            index.append("")
    yield "rules/index.md", NOTE + "\n".join(index)
    for rule in rules.values():
        # A list right below a paragraph is part of it for this generator.
        text = re.sub(r"(?m)^(## .*\n)(?=- )", r"\1\n", rule_docs.markdown(rule))
        text = re.sub(r"(?m)^- (https?://\S+)$", r"- <\1>", text)
        yield f"rules/{rule.code}.md", NOTE + re.sub(r"(?m)^```\n(?=\S)", "```\n\n", text)
    yield "configuration.md", NOTE + _configuration()
    yield "output-formats.md", NOTE + _formats()


EXAMPLE = """\
```toml
[tool.nograd-lint]
ignore = ["NGL103"]
min-confidence = "high"

[tool.nograd-lint.per-file-ignores]
"tests/" = ["NGL1"]
```
"""
SCOPES = {
    "report": "What is reported: the configuration nearest to a file decides.",
    "analysis": "What is known of the project: read from the configuration of its root alone.",
    "run": "How a run goes: read from the configuration of the root of the first path.",
}


def _configuration() -> str:
    lines = [
        "# Configuration\n",
        "`[tool.nograd-lint]` in `pyproject.toml`, or the same keys at the top of `nograd-lint.toml`. The nearest file",
        "counts; there is no merging. An unknown key is an error, with a suggestion.\n",
        EXAMPLE,
        "`nograd-lint config` shows what holds in a directory, `nograd-lint config KEY` explains a key.\n",
    ]
    for scope, title in SCOPES.items():
        lines.append(f"## {title}\n")
        for doc in field_docs():
            if doc.scope == scope:
                default = (
                    "a list of directories that hold no code of yours"
                    if doc.key == "exclude"
                    else f"`{toml(doc.default)}`"
                )
                lines += [f"### {doc.key}\n", f"{doc.description}\n", f"Type: {doc.type}. Default: {default}.\n"]
    return "\n".join(lines)


def _formats() -> str:
    parts = ["# Output formats\n", "`--output-format`, here each for `fixtures/wasteful/predict.py`.\n"]
    for name in FORMATS:
        command = [sys.executable, "-m", "nograd_lint", "check", "--no-cache", "--isolated", "--output-format", name]
        done = subprocess.run(
            [*command, "predict.py"], cwd=DOCS.parent / "fixtures/wasteful", capture_output=True, check=False
        )
        text = done.stdout.decode().replace(DOCS.parent.as_uri(), "file:///home/you/nograd-lint")
        text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)?", "2026-01-01T00:00:00", text)
        text = re.sub(r'time="[\d.]+"', 'time="0.123"', text)
        if name == "sarif":  # the help of the rules is on their pages
            text = re.sub(r'"(text|markdown)": "((?:[^"\\]|\\.){80})(?:[^"\\]|\\.)*"', r'"\1": "\2…"', text)
            text = re.sub(r'\\…"', '…"', text)
        parts += [f"## {name}\n", ABOUT[name] + "\n", f"```{LANGUAGES.get(name, 'json')}\n{text.rstrip()}\n```\n"]
    return "\n".join(parts)


def main() -> int:
    stale = []
    written = dict(pages())
    for name, text in written.items():
        path = DOCS / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    for path in DOCS.glob("rules/*.md"):
        if f"rules/{path.name}" not in written:
            stale.append(f"rules/{path.name}")
            if "--check" not in sys.argv:
                path.unlink()
    for name in stale:
        print(name)
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
