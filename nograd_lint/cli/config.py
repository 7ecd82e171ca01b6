"""``nograd-lint config``: the configuration that holds here, and what its keys mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from nograd_lint.cli import Failure


@click.command()
@click.argument("key", required=False)
@click.option("--config", "file", type=click.Path(path_type=Path), metavar="FILE", help="Use this configuration file.")
@click.option("--isolated", is_flag=True, help="Use no configuration file.")
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Format.")
def config(key: str | None, file: Path | None, isolated: bool, output_format: str) -> int:
    """Show the configuration that holds here, or explain one KEY of it."""
    import msgspec

    from nograd_lint.cli.output import write
    from nograd_lint.cli.session import Session
    from nograd_lint.report.json import dumps
    from nograd_lint.report.run import shown_path
    from nograd_lint.settings import did_you_mean, field_docs

    session = Session([], {"config": file, "isolated": isolated})
    found = session.resolver.nearest(session.cwd)
    values = msgspec.to_builtins(session.resolver.configuration(session.cwd / "file.py").settings)
    docs = {doc.key: doc for doc in field_docs()}
    if key is not None and key not in docs:
        raise Failure(f"unknown key `{key}`{did_you_mean(key, docs)}")
    chosen = list(docs.values()) if key is None else [docs[key]]
    source = "built-in defaults" if found.file is None else shown_path(found.file, session.cwd)
    if output_format == "json":
        records = [{**msgspec.to_builtins(doc), "value": values[doc.key]} for doc in chosen]
        write(dumps({"file": found.file and str(found.file), "keys": records}), machine=True)
    elif key is None:
        lines = [f"# {source}; `nograd-lint config KEY` explains a key"]
        lines += [
            f"# {doc.key} is unset" if values[doc.key] is None else f"{doc.key} = {toml(values[doc.key])}"
            for doc in chosen
        ]
        write("\n".join(lines) + "\n")
    else:
        [doc] = chosen
        origin = f"  ({source})" if values[doc.key] != doc.default else ""
        write(
            f"{doc.key}\n  {doc.description}\n\n"
            f"  type:    {doc.type}\n"
            f"  default: {toml(doc.default)}\n"
            f"  here:    {toml(values[doc.key])}{origin}\n"
        )
    return 0


def toml(value: Any) -> str:
    """A value as TOML writes it; the types of the configuration need no more than this."""
    if value is None:
        return "unset"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
