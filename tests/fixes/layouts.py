"""Generated programs in layouts that Python allows and formatters never leave: food for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

# A pilcrow stands for a line end within a statement.
SIMPLE = (
    "a = 1",
    "y = model(x)",
    "y = model(x,¶  x)",
    "y = model(¶x¶)",
    "y = [¶        a,  # why; not¶¶    b,¶]",
    "s = '''¶text ¶\t  more¶'''",
    's = """¶    "quoted" # no comment¶""" + f(¶   x)',
    "s = f'''{y}¶  {a!r:>{x}}¶''' '''¶'''",
    "total = a + \\¶   b",
    "total += a \\¶\t- b",
    "s = '# no comment; \\''",
    "s = 'ä€🔥'; 𝔂 = '🔥'",
    "'a string'",
    "'''several¶  lines'''",
    "s = 'con\\¶  tinued'",
    "assert a, (¶'b'¶)",
    "del a[¶  0]",
    "import os, sys",
    "from os import (¶  path,¶  sep,¶)",
    "z = lambda q: (¶q)",
    "pass",
)
COMMENTS = ("", "", "", "  # comment", " #; no = statement", "\t# ä🔥 \\")
HEADERS = (
    "if a:", "while b:", "for x in xs:", "with open(a) as b, c:", "with (a, b):", "if (a and¶  b):", "if a: # colon:",
    "for x in (¶  1, 2¶):", "while a \\¶    and b:", "async with a:",
)  # fmt: skip
FUNCTIONS = (
    "def f(x):", "def f(¶    x,¶    y=1,¶) -> int:", "async def g():", "class A:", "class B(C,¶  D):",
)  # fmt: skip
DECORATORS = ((), ("@staticmethod",), ("@a  # one", "# between", "", "@b(¶  1)"), ("@torch.jit.script",))
INNERMOST = 3


class _Writer:
    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.newline = draw(st.sampled_from(("\n", "\n", "\r\n", "\r")))
        self.step = draw(st.sampled_from(("    ", "  ", "\t", " ", "        ")))

    def program(self) -> str:
        text = self.newline.join(["import torch", *self.block("", 0)]).replace("¶", self.newline)
        return text + self.draw(st.sampled_from((self.newline, "", self.newline * 2)))

    def block(self, indentation: str, depth: int) -> list[str]:
        rows: list[str] = []
        for _ in range(self.draw(st.integers(1, 3))):
            rows += self.filler(indentation)
            if depth < INNERMOST and self.draw(st.booleans()):
                rows += self.compound(indentation, depth)
            else:
                rows.append(indentation + self.line() + self.draw(st.sampled_from(COMMENTS)))
        return rows

    def line(self) -> str:
        parts = self.draw(st.lists(st.sampled_from(SIMPLE), min_size=1, max_size=3))
        separator = self.draw(st.sampled_from(("; ", ";", " ; ", "; \\¶   ")))
        return separator.join(parts) + self.draw(st.sampled_from(("", "", ";", " ; ")))

    def filler(self, indentation: str) -> list[str]:
        rows = ("", "   ", f"{indentation}# here", f"{indentation}{self.step}# deeper", "# outside")
        return self.draw(st.lists(st.sampled_from(rows), max_size=1))

    def suite(self, indentation: str, header: str, depth: int) -> list[str]:
        if "#" not in header and self.draw(st.integers(0, 3)) == 0:
            gap = self.draw(st.sampled_from((" ", "", "  ", " \\¶      ")))
            return [f"{indentation}{header}{gap}{self.line()}{self.draw(st.sampled_from(COMMENTS))}"]
        comment = "" if "#" in header else self.draw(st.sampled_from(COMMENTS))
        body = self.block(indentation + self.step, depth + 1)
        return [f"{indentation}{header}{comment}", *body, *self.filler(indentation)]

    def compound(self, indentation: str, depth: int) -> list[str]:
        kind = self.draw(st.sampled_from(("one", "if", "for", "try", "match", "function")))
        if kind == "match":
            inner = indentation + self.step
            cases = [row for case in ("case 1:", "case [x, *_] if x:") for row in self.suite(inner, case, depth + 1)]
            return [f"{indentation}match a:", *cases]
        if kind == "function":
            decorators = [indentation + row if row else row for row in self.draw(st.sampled_from(DECORATORS))]
            return [*decorators, *self.suite(indentation, self.draw(st.sampled_from(FUNCTIONS)), depth)]
        headers = {
            "one": (self.draw(st.sampled_from(HEADERS)),),
            "if": ("if a:", "elif b:", "elif (¶c):", "else:"),
            "for": ("for x in xs:", "else :"),
            "try": ("try:", "except (A,¶  B) as e:", "except:", "finally:"),
        }[kind]
        return [row for header in headers for row in self.suite(indentation, header, depth)]


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Source text; its lines end and its blocks are indented in one of the usual ways."""
    return _Writer(draw).program()
