from __future__ import annotations

from pathlib import Path

from nograd_lint.diagnostics import Edit, Position, Span
from nograd_lint.source.files import SourceFile, load
from nograd_lint.source.markdown import MarkdownFile

DOCUMENT = """\
# Title `x`

```python
import torch
x = 1
```

```bash
pip install torch
```

* item

  ~~~~{.python title="é"}
  y = x
  ~~~
  ~~~~

  ```py
  é = 2

  z = é
  ```

```python
>>> doctest
```

````markdown
```python
quoted
```
````

```ipython
%time
w = 1
```

``` Python3
last = 1
"""


def load_markdown(text: str) -> SourceFile:
    loaded = load(Path("a.md"), "a.md", text.encode(), markdown=True)
    assert isinstance(loaded, MarkdownFile)
    return loaded


def test_python_blocks_keep_their_rows_and_columns() -> None:
    file = load_markdown(DOCUMENT)
    rows = file.analysis.decode().split("\n")
    assert len(rows) == DOCUMENT.count("\n") + 1
    assert {number: row for number, row in enumerate(rows, 1) if row} == {
        4: "import torch",
        5: "x = 1",
        19: "if True:",
        20: "  é = 2",
        22: "  z = é",
        36: "pass",
        37: "w = 1",
        41: "last = 1",
    }
    place = file.position(file.analysis.index("é = 2".encode()))
    assert (place, file.row(20)) == (Position(20, 3), "  é = 2")


def test_edits_go_to_the_file() -> None:
    file = load_markdown(DOCUMENT.replace("\n", "\r\n"))
    edited = file.edited([Edit("3", Span(Position(20, 7), Position(20, 8)))])
    assert edited == DOCUMENT.replace("é = 2", "é = 3").replace("\n", "\r\n").encode()


def test_only_on_demand() -> None:
    loaded = load(Path("a.md"), "a.md", b"```python\nx\n```\n")
    assert not isinstance(loaded, MarkdownFile)
