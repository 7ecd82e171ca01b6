"""Statements put into a block, in every layout that a file may have."""

from __future__ import annotations

import textwrap

import pytest
from fix_helpers import fixed, ordinal

from nograd_lint.rules._base import Wrap


def wrapped(text: str, first: str, last: str | None = None, guard: str = "torch.no_grad()") -> str | None:
    return fixed(text, lambda t: Wrap(ordinal(t, first), ordinal(t, last or first), guard))


CASES = {
    "one statement": (
        """\
        import torch
        def f(x):
            a = 1
            y = model(x)  # the forward
            return y
        """,
        "y = model",
        "y = model",
        """\
        import torch
        def f(x):
            a = 1
            with torch.no_grad():
                y = model(x)  # the forward
            return y
        """,
    ),
    "comments, blank lines and strings": (
        '''\
        import torch
        def f(x):
            # above
            y = model(
                x,
          # odd
                """
            text
        """,
            )

            # between
            z = f"""{y
            }
        """ + y
            # below
            return z
        ''',
        "y = model",
        "z = f",
        '''\
        import torch
        def f(x):
            # above
            with torch.no_grad():
                y = model(
                    x,
          # odd
                    """
            text
        """,
                )

                # between
                z = f"""{y
            }
        """ + y
            # below
            return z
        ''',
    ),
    "backslashes": (
        """\
        import torch
        def f(x):
            y = model(x) + \\
                1
            return y
        """,
        "y = model",
        "y = model",
        """\
        import torch
        def f(x):
            with torch.no_grad():
                y = model(x) + \\
                    1
            return y
        """,
    ),
    "middle of a line": (
        """\
        import torch
        def f(x):
            a = 1; y = model(x); z = 2; w = 3  # end
        """,
        "y = model",
        "z = 2",
        """\
        import torch
        def f(x):
            a = 1
            with torch.no_grad():
                y = model(x); z = 2
            w = 3  # end
        """,
    ),
    "whole line": (
        """\
        import torch
        def f(x):
            a = 1; y = model(x);  # end
            w = 3
        """,
        "a = 1",
        "y = model",
        """\
        import torch
        def f(x):
            with torch.no_grad():
                a = 1; y = model(x);  # end
            w = 3
        """,
    ),
    "from one line into another": (
        """\
        import torch
        def f(x):
            a = 1; y = model(
                x); b = 2; \\
              c = 3
            d = 4; e = 5
        """,
        "y = model",
        "d = 4",
        """\
        import torch
        def f(x):
            a = 1
            with torch.no_grad():
                y = model(
                    x); b = 2; \\
                  c = 3
                d = 4
            e = 5
        """,
    ),
    "one-line body": (
        """\
        import torch
        for x in xs: y = model(x)  # go
        """,
        "y = model",
        "y = model",
        """\
        import torch
        for x in xs:
            with torch.no_grad():
                y = model(x)  # go
        """,
    ),
    "part of a one-line body": (
        """\
        import torch
        if a: b()
        elif c: d(); y = model(
            x
        ); e()
        else: f()
        """,
        "y = model",
        "y = model",
        """\
        import torch
        if a: b()
        elif c:
            d()
            with torch.no_grad():
                y = model(
                    x
                )
            e()
        else: f()
        """,
    ),
    "one-line function": (
        """\
        import torch
        class A:
          def f(self, x): return self.net(x)
        """,
        "return self",
        "return self",
        """\
        import torch
        class A:
          def f(self, x):
            with torch.no_grad():
              return self.net(x)
        """,
    ),
    "one-line body after a backslash": (
        """\
        import torch
        while a: \\
            y = model(x)
        """,
        "y = model",
        "y = model",
        """\
        import torch
        while a:
            with torch.no_grad():
                y = model(x)
        """,
    ),
    "compound statements keep their branches and comments": (
        """\
        import torch
        def f(x):
            for a in x:
                if a: model(a)
                else:
                    model(x)
                    # in else
                # in for

                # in for, too
            # in f
            return 1
        """,
        "for a",
        "for a",
        """\
        import torch
        def f(x):
            with torch.no_grad():
                for a in x:
                    if a: model(a)
                    else:
                        model(x)
                        # in else
                    # in for

                    # in for, too
            # in f
            return 1
        """,
    ),
    "a decorated function in the run": (
        '''\
        import torch
        @a
        # why
        @b(
            1)
        def f(x):
            """Doc
            string."""
            return x
        y = f(1)
        ''',
        "def f",
        "y = f",
        '''\
        import torch
        with torch.no_grad():
            @a
            # why
            @b(
                1)
            def f(x):
                """Doc
            string."""
                return x
            y = f(1)
        ''',
    ),
    "end of file without a newline": (
        "import torch\ny = model(x)",
        "y =",
        "y =",
        "import torch\nwith torch.no_grad():\n    y = model(x)",
    ),
    "step of the neighbours": (
        "import torch\nif a:\n  y = model(x)\nfor b in c:\n      pass\n",
        "y =",
        "y =",
        "import torch\nif a:\n  with torch.no_grad():\n    y = model(x)\nfor b in c:\n      pass\n",
    ),
    "step of the file": (
        "import torch\ny = model(x)\nif a:\n  pass\n",
        "y =",
        "y =",
        "import torch\nwith torch.no_grad():\n  y = model(x)\nif a:\n  pass\n",
    ),
    "tabs": (
        "import torch\ndef f(x):\n\ty = model(x,\n\t\t\tx)\n\treturn y\n",
        "y =",
        "y =",
        "import torch\ndef f(x):\n\twith torch.no_grad():\n\t\ty = model(x,\n\t\t\t\tx)\n\treturn y\n",
    ),
    "form feed": (
        "import torch\ndef f(x):\n\f    y = model(x)\n\f    z = 1\n",
        "y =",
        "z =",
        "import torch\ndef f(x):\n\f    with torch.no_grad():\n        y = model(x)\n\f        z = 1\n",
    ),
    "CRLF": (
        "import torch\r\nif a:\r\n    y = b(\r\n\r\n        x)\r\n",
        "y =",
        "y =",
        "import torch\r\nif a:\r\n    with torch.no_grad():\r\n        y = b(\r\n\r\n            x)\r\n",
    ),
    "lone CR": (
        "import torch\rif a:\r    y = model(x)\r    z = 1\r",
        "y =",
        "z =",
        "import torch\rif a:\r    with torch.no_grad():\r        y = model(x)\r        z = 1\r",
    ),
    "letters of several bytes": (
        "import torch\nif ä:\n    é = '€'; 𝔂 = model(x); z = '🔥'  # 🔥\n",
        "𝔂 =",
        "𝔂 =",
        "import torch\nif ä:\n    é = '€'\n    with torch.no_grad():\n        𝔂 = model(x)\n    z = '🔥'  # 🔥\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_wrap(name: str) -> None:
    before, first, last, after = CASES[name]
    assert wrapped(textwrap.dedent(before), first, last) == textwrap.dedent(after)


def test_a_guard_of_another_kind() -> None:
    text = "from torch import enable_grad as on\nloss = closure()\n"
    assert wrapped(text, "loss", guard="torch.enable_grad()") == (
        "from torch import enable_grad as on\nwith on():\n    loss = closure()\n"
    )


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("import torch\nif a: b\nelif c:\n    d()\n", "if c", "if c"),
        ('import torch\ndef f():\n    """Doc."""\n    g()\n', '"""Doc', "g()"),
        ("import torch\nif a:\n    b()\nelse:\n    c()\n", "b()", "c()"),
        ("import torch\na()\nb()\n", "b()", "a()"),
        ("from __future__ import annotations\nimport torch\n", "from __future__", "import torch"),
    ],
    ids=["elif", "docstring", "other branch", "order", "future"],
)
def test_what_cannot_be_wrapped(text: str, first: str, last: str) -> None:
    if first == "if c":
        # The facts have an `elif` as a statement of its own.
        from nograd_lint.syntax.lower import lower

        branch = lower(text).body[1].orelse[0].o  # type: ignore[union-attr]
        assert fixed(text, lambda _: Wrap(branch, branch)) is None
    else:
        assert wrapped(text, first, last) is None
