"""``--add-suppressions``: a comment for everything that is reported today."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nograd_lint.cli.output import write, write_file
from nograd_lint.diagnostics import FileResult, Problem
from nograd_lint.source import suppressions
from nograd_lint.source.decoding import SourceError
from nograd_lint.source.files import load

if TYPE_CHECKING:
    from nograd_lint.cli.session import Session


def add_suppressions(session: Session, results: Sequence[FileResult], reason: str) -> int:
    """Suppress every diagnostic of ``results`` in its file."""
    from nograd_lint.cli.check import complain_about
    from nograd_lint.report.summary import count

    added = files = 0
    for result in results:
        # A file that cannot be parsed has to be repaired, not silenced.
        wanted = [diagnostic for diagnostic in result.diagnostics if diagnostic.code not in {"NGL901", "NGL902"}]
        if not wanted:
            continue
        path = session.root / result.filename
        source = load(path, result.filename, markdown=session.settings.markdown)
        if isinstance(source, Problem):
            session.problems.append(source)
            continue
        try:
            content = source.edited(suppressions.add(source, wanted, reason))
        except SourceError as error:
            session.problems.append(Problem(result.filename, str(error)))
            continue
        write_file(path, content)
        added += len(wanted)
        files += 1
    if not session.options["quiet"]:
        write(f"Suppressed {count(added, 'diagnostic')} in {count(files, 'file')}.\n")
    run = session.run(results)
    complain_about(run)
    return 2 if run.all_problems else 0
