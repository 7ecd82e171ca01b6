"""``nograd-lint clean``: remove the cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from nograd_lint.cli import Failure

# What a directory of ours holds, so that no other one is ever removed (https://bford.info/cachedir/).
TAG = "CACHEDIR.TAG"
NAME = ".nograd_lint_cache"


@click.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("--cache-dir", type=click.Path(path_type=Path), metavar="DIR", help="The cache to remove.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors alone.")
def clean(path: Path, cache_dir: Path | None, quiet: bool) -> int:
    """Remove the cache of the project that PATH (default: the working directory) belongs to."""
    from nograd_lint.cli.session import Session
    from nograd_lint.report.run import shown_path

    session = Session([str(path)], {"cache_dir": cache_dir})
    configured = session.settings.cache_dir
    target = Path(configured) if configured else session.root / NAME
    shown = shown_path(target, session.cwd)
    if not target.exists():
        message = f"No cache at {shown}."
    elif not (target / TAG).is_file():
        raise Failure(f"{shown} does not look like a cache (it holds no {TAG}); not removed")
    else:
        try:
            shutil.rmtree(target)
        except OSError as error:
            raise Failure(f"cannot remove {shown}: {(error.strerror or str(error)).lower()}") from None
        message = f"Removed {shown}."
    if not quiet:
        click.echo(message)
    return 0
