"""Every other action of a fix, alone and together."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest
from fix_helpers import fixed, ordinal

from nograd_lint.rules._base import (
    Action,
    AtSign,
    Decorate,
    Delete,
    MoveGuard,
    RemoveDecorator,
    Replace,
    SwapDecorators,
    Unwrap,
    Wrap,
)

Make = Callable[[str], Action]


def decorate(where: str) -> Make:
    return lambda text: Decorate(ordinal(text, where))


def unwrap(where: str, item: int = 0) -> Make:
    return lambda text: Unwrap(ordinal(text, where), item)


def delete(where: str, nth: int = 0) -> Make:
    return lambda text: Delete(ordinal(text, where, nth))


def replace(where: str, template: str) -> Make:
    return lambda text: Replace(ordinal(text, where), template)


def wrap(first: str, last: str | None = None, guard: str = "torch.no_grad()") -> Make:
    return lambda text: Wrap(ordinal(text, first), ordinal(text, last or first), guard)


def move(where: str, first: str, last: str, item: int = 0) -> Make:
    return lambda text: MoveGuard(ordinal(text, where), ordinal(text, first), ordinal(text, last), item)


def at_sign(where: str) -> Make:
    return lambda text: AtSign(ordinal(text, where))


CASES: dict[str, tuple[str, tuple[Make, ...], str | None]] = {
    "decorate": (
        """\
        import torch
        class A:
            # about f
            def f(self): pass
        """,
        (decorate("def f"),),
        """\
        import torch
        class A:
            # about f
            @torch.no_grad()
            def f(self): pass
        """,
    ),
    "decorate below what is not a function": (
        """\
        import torch
        class A:
            @staticmethod  # no self
            @app.route("/")
            # about f
            def f(): pass
        """,
        (decorate("def f"),),
        """\
        import torch
        class A:
            @staticmethod  # no self
            @app.route("/")
            # about f
            @torch.no_grad()
            def f(): pass
        """,
    ),
    "decorate above what reads the function": (
        """\
        import torch
        @app.route("/")
        @torch.jit.script
        def f(): pass
        """,
        (decorate("def f"),),
        """\
        import torch
        @app.route("/")
        @torch.no_grad()
        @torch.jit.script
        def f(): pass
        """,
    ),
    "replace keeps the old source": (
        "import torch\nwith torch.no_grad:\n    a\n",
        (replace("torch.no_grad", "{}()"),),
        "import torch\nwith torch.no_grad():\n    a\n",
    ),
    "replace adds parentheses where they are needed": (
        "total += a + b\nlast = a * \\\n    b\nx = y\n",
        (replace("a + b", "{}.detach()"), replace("a * ", "{}.detach()"), replace("y", "{}.item()")),
        "total += (a + b).detach()\nlast = (a * \\\n    b).detach()\nx = y.item()\n",
    ),
    "replace without the old source": (
        "import torch\nwith torch.no_grad() and amp():\n    a\n",
        (replace("torch.no_grad() and", "torch.no_grad(), amp()"),),
        "import torch\nwith torch.no_grad(), amp():\n    a\n",
    ),
    "delete a line with its comment": (
        "a()\n# about b\nb(\n    1)  # b\nc()\n",
        (delete("b("),),
        "a()\n# about b\nc()\n",
    ),
    "delete leaves no double gap": (
        "def f():\n    a()\n\n    b()\n\n    c()\n\n\nd()\n",
        (delete("b("), delete("a()")),
        "def f():\n    c()\n\n\nd()\n",
    ),
    "delete parts of a line": (
        "a(); b(); c()  # end\nd(); e();\nf(); \\\n  g()\n",
        (delete("b("), delete("e("), delete("f(")),
        "a(); c()  # end\nd();\ng()\n",
    ),
    "delete the first and last of a line": (
        "if x: a(); b(); c()  # end\n",
        (delete("a("), delete("c(")),
        "if x: b()  # end\n",
    ),
    "delete all there is": (
        "if x:\n    a()  # a\n    b()\nelse: c()\n",
        (delete("a("), delete("b("), delete("c(")),
        "if x:\n    pass\nelse: pass\n",
    ),
    "delete the last line of a file": ("a()\nb()", (delete("b("),), "a()\n"),
    "unwrap": (
        '''\
        def f(x):
            with torch.no_grad():  # noqa: X1
                # first
                y = model(
                    x,
              """
                text
                """)
                for a in y:
                    b()
                    # in for
                # last

            # after
            return y
        ''',
        (unwrap("with"),),
        '''\
        def f(x):
            # first
            y = model(
                x,
            """
                text
                """)
            for a in y:
                b()
                # in for
            # last

            # after
            return y
        ''',
    ),
    "unwrap keeps the comment of the header": (
        "if a:\n\twith torch.no_grad():  # why\n\n\t\ty = 1\n\t\tz = 2\n",
        (unwrap("with"),),
        "if a:\n\t# why\n\n\ty = 1\n\tz = 2\n",
    ),
    "unwrap a block with a gap at its top": (
        "if a:\n    with (\n        torch.no_grad()\n    ):\n\n        y = 1\n        z = 2\n",
        (unwrap("with"),),
        "if a:\n    y = 1\n    z = 2\n",
    ),
    "unwrap a one-line body": (
        "with torch.no_grad(): y = model(x); z = 1  # end\n",
        (unwrap("with"),),
        "y = model(x); z = 1  # end\n",
    ),
    "unwrap one of several": (
        "with torch.no_grad(), open(f) as g:\n    a\nwith open(f) as g, \\\n     torch.enable_grad():\n    a\n",
        (unwrap("with torch", 0), unwrap("with open", 1)),
        "with open(f) as g:\n    a\nwith open(f) as g:\n    a\n",
    ),
    "unwrap one of several in parentheses": (
        "with (torch.no_grad(), open(f) as g):\n    a\nwith (a, torch.enable_grad(), b,):\n    a\n",
        (unwrap("with (torch", 0), unwrap("with (a", 1)),
        "with open(f) as g:\n    a\nwith (a, b,):\n    a\n",
    ),
    "unwrap one of several in lines": (
        "with (\n    torch.no_grad(),  # off\n    open(f) as g,  # file\n    lock\n):\n    a\n",
        (unwrap("with", 0), unwrap("with", 1)),
        "with (\n    open(f) as g,  # file\n):\n    a\n",
    ),
    "unwrap a named guard": ("with torch.no_grad() as g:\n    a\n", (unwrap("with"),), None),
    "unwrap asks for the item": ("with torch.no_grad():\n    a\n", (unwrap("with", 1),), None),
    "narrow a guard": (
        """\
        import torch
        def f(x):
            with torch.no_grad():  # off
                loss = model(x)

                loss.backward()
                y = model(
                    x)  # y
                # last
            return y
        """,
        (move("with", "y = ", "y = "),),
        """\
        import torch
        def f(x):
            loss = model(x)

            loss.backward()
            with torch.no_grad():  # off
                y = model(
                    x)  # y
            # last
            return y
        """,
    ),
    "narrow one of several guards": (
        "with amp(), no_grad():\n    a()\n    b()\n",
        (move("with", "b()", "b()", 1),),
        "with amp():\n    a()\n    with no_grad():\n        b()\n",
    ),
    "widen a guard": (
        """\
        with torch.no_grad():
            model.eval()
            # done
        for x in loader:
            model(x)
        print(x); end()
        """,
        (move("with", "with", "print"),),
        """\
        with torch.no_grad():
            model.eval()
            # done
            for x in loader:
                model(x)
            print(x)
        end()
        """,
    ),
    "widen a guard upwards": (
        "a()\nb()\nwith torch.no_grad():\n    c()\n    d()\n",
        (move("with", "b()", "with"),),
        "a()\nwith torch.no_grad():\n    b()\n    c()\n    d()\n",
    ),
    "move a guard": (
        "def f():\n    with torch.no_grad():\n        model.eval()\n    y = model(x)\n    return y\n",
        (move("with", "y =", "y ="),),
        "def f():\n    model.eval()\n    with torch.no_grad():\n        y = model(x)\n    return y\n",
    ),
    "remove a decorator": (
        "@a\n# about b\n@torch.no_grad(\n)  # b\n@c\ndef f(): pass\n",
        (lambda text: RemoveDecorator(ordinal(text, "def f"), 1),),
        "@a\n# about b\n@c\ndef f(): pass\n",
    ),
    "swap decorators": (
        "class A:\n    @torch.no_grad()  # one\n    # between\n    @staticmethod  # two\n    def f(): pass\n",
        (lambda text: SwapDecorators(ordinal(text, "def f"), 0, 1),),
        "class A:\n    @staticmethod  # one\n    # between\n    @torch.no_grad()  # two\n    def f(): pass\n",
    ),
    "at sign": (
        "class A:\n    torch.no_grad()  # off\n\n    # about f\n    def f(self): pass\n",
        (at_sign("torch"),),
        "class A:\n    @torch.no_grad()  # off\n    # about f\n    def f(self): pass\n",
    ),
    "at sign above other decorators": (
        "torch.no_grad()\n@cache\ndef f(): pass\n",
        (at_sign("torch"),),
        "@torch.no_grad()\n@cache\ndef f(): pass\n",
    ),
    "at sign above a property": (
        "class A:\n    a = 1\n\n    torch.no_grad()\n    @property\n    def f(self): pass\n",
        (at_sign("torch"),),
        "class A:\n    a = 1\n\n    @property\n    @torch.no_grad()\n    def f(self): pass\n",
    ),
    "at sign without a function below": ("torch.no_grad()\nf()\n", (at_sign("torch"),), None),
    "at sign in a line with others": ("torch.no_grad(); a\ndef f(): pass\n", (at_sign("torch"),), None),
    "a statement becomes a block": (
        "import torch\nmodel.eval()\ntorch.no_grad()\n\ny = model(x)\nprint(y)\n",
        (delete("torch.no_grad"), wrap("y =", "print")),
        "import torch\nmodel.eval()\n\nwith torch.no_grad():\n    y = model(x)\n    print(y)\n",
    ),
    "a statement becomes a block in its line": (
        "import torch\nmodel.eval(); torch.no_grad(); y = model(x)\n",
        (delete("torch.no_grad"), wrap("y =")),
        "import torch\nmodel.eval()\nwith torch.no_grad():\n    y = model(x)\n",
    ),
    "a guarded generator becomes a decorated one": (
        "import torch\ndef g(xs):\n    with torch.no_grad():\n        for x in xs:\n            yield model(x)\n",
        (unwrap("with"), decorate("def g")),
        "import torch\n@torch.no_grad()\ndef g(xs):\n    for x in xs:\n        yield model(x)\n",
    ),
    "blocks in each other": (
        "import torch\na()\nb()\nc()\n",
        (wrap("a()", "c()"), wrap("b()", guard="torch.enable_grad()")),
        "import torch\nwith torch.no_grad():\n    a()\n    with torch.enable_grad():\n        b()\n    c()\n",
    ),
    "an action on what is gone": ("a()\nb()\n", (delete("a()"), wrap("a()")), None),
}


@pytest.mark.parametrize("name", CASES)
def test_action(name: str) -> None:
    before, actions, after = CASES[name]
    expected = None if after is None else textwrap.dedent(after)
    assert fixed(textwrap.dedent(before), *actions) == expected
    windows = textwrap.dedent(before).replace("\n", "\r\n")
    assert fixed(windows, *actions) == (None if expected is None else expected.replace("\n", "\r\n"))
