"""Runs a script like ``python SCRIPT``, and accounts for what autograd saves in it.

    python accounted.py SCRIPT ACCOUNT

ACCOUNT gets, as JSON, the bytes that were saved for backward under each line of the script's folder.
"""

from __future__ import annotations

import json
import linecache
import runpy
import sys
from collections import Counter
from pathlib import Path

from fix_helpers import Line, line_key

from nograd_lint.confirm import ledger


class Account(ledger.Account):
    """Remembers everything that was ever saved, line by line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Counter[Line] = Counter()

    def credit(self, size: int, site: tuple[Line, ...]) -> None:
        super().credit(size, site)
        for line in set(site):
            self.lines[line] += size


def main() -> None:
    script, target = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    root = script.parent

    def where() -> tuple[Line, ...]:
        frame, found = sys._getframe(), []
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if path.parent == root:
                text = linecache.getline(str(path), frame.f_lineno)
                found.append(line_key(path.name, frame.f_code.co_name, text))
            frame = frame.f_back
        return tuple(found)

    sys.argv = [str(script)]
    sys.path[0] = str(root)
    account = Account()
    book = ledger.Ledger(where=where)
    book.account, book.accounts = account, [account]
    with book:
        runpy.run_path(str(script), run_name="__main__")
    target.write_text(json.dumps([[*line, size] for line, size in account.lines.items()]))


if __name__ == "__main__":
    main()
