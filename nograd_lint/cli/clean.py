"""``nograd-lint clean``: remove the cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click

from nograd_lint.cli import Failure


@click.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("--cache-dir", type=click.Path(path_type=Path), metavar="DIR", help="The cache to remove.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors alone.")
def clean(path: Path, cache_dir: Path | None, quiet: bool) -> int:
    """Remove the cache of the project that PATH (default: the working directory) belongs to."""
    from nograd_lint.cachedir import candidates
    from nograd_lint.cli.session import Session
    from nograd_lint.report.run import shown_path

    session = Session([str(path)], {"cache_dir": cache_dir})
    configured = session.settings.cache_dir
    targets = [Path(configured)] if configured else list(candidates(session.root))
    found = [target for target in targets if os.path.lexists(target)]
    for target in found:
        _remove(target, shown_path(target, session.cwd))
    if not quiet:
        for target in found:
            click.echo(f"Removed {shown_path(target, session.cwd)}.")
        if not found:
            click.echo(f"No cache at {shown_path(targets[0], session.cwd)}.")
    return 0


def _remove(target: Path, shown: str) -> None:
    """Remove a directory of ours: no other one is ever removed."""
    from nograd_lint.cachedir import TAG

    if not (target / TAG).is_file():
        raise Failure(f"{shown} does not look like a cache (it holds no {TAG}); not removed")
    try:
        shutil.rmtree(target)
    except OSError as error:
        raise Failure(f"cannot remove {shown}: {(error.strerror or str(error)).lower()}") from None
