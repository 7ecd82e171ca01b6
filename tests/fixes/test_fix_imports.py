"""Guards are spelt as the file spells torch, and torch is imported where it is not yet."""

from __future__ import annotations

import ast

import pytest
from fix_helpers import fixed, ordinal

from nograd_lint.rules._base import Decorate, Replace, Wrap

BODY = "\n\ndef f(x):\n    y = model(x)\n    return y\n"


def spelt(head: str) -> tuple[str, str]:
    """What a fix puts at the top of the file, and how it spells the guard."""
    text = head + BODY
    result = fixed(text, lambda t: Wrap(ordinal(t, "y ="), ordinal(t, "y =")))
    assert result is not None
    ast.parse(result)
    top, _, function = result.partition("\n\ndef f(x):\n")
    return top, function.partition("    with ")[2].partition(":")[0]


@pytest.mark.parametrize(
    ("head", "guard"),
    [
        ("import torch", "torch.no_grad()"),
        ("import torch as th", "th.no_grad()"),
        ("import torch.nn", "torch.no_grad()"),
        ("import os, torch as T, sys", "T.no_grad()"),
        ("from torch import no_grad", "no_grad()"),
        ("import torch\nfrom torch import (\n    nn,\n    no_grad as ng,\n)", "ng()"),
        ("from torch.autograd import no_grad", "no_grad()"),
        ("from torch import inference_mode\nimport torch", "torch.no_grad()"),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None", "torch.no_grad()"),
        ("if have_torch():\n    import torch as th", "th.no_grad()"),
        ("from helpers import *\nNet = torch.nn.Linear", "torch.no_grad()"),
        ("import pytest\ntorch = pytest.importorskip('torch')", "torch.no_grad()"),
    ],
)
def test_known_names_are_used(head: str, guard: str) -> None:
    assert spelt(head) == (head, guard)


@pytest.mark.parametrize(
    ("head", "top"),
    [
        ("import torch.nn as nn", "import torch\nimport torch.nn as nn"),
        ("import os\nfrom torch import nn\nimport b", "import os\nimport torch\nfrom torch import nn\nimport b"),
        ("from model import (\n    model,\n)  # m", "import torch\nfrom model import (\n    model,\n)  # m"),
        ("import os\nimport sys\n\nfrom . import a", "import os\nimport sys\n\nimport torch\n\nfrom . import a"),
        ("from . import a", "import torch\n\nfrom . import a"),
        ("import numpy\nimport yaml\nfrom a import b", "import numpy\nimport torch\nimport yaml\nfrom a import b"),
        ("import os\n\nimport tqdm\n\nfrom .a import b", "import os\n\nimport torch\nimport tqdm\n\nfrom .a import b"),
        ('"""Doc."""', '"""Doc."""\n\nimport torch'),
        ('"""Doc."""\nfrom __future__ import division', '"""Doc."""\nfrom __future__ import division\n\nimport torch'),
        ("#!/usr/bin/env python\n# coding: utf-8", "#!/usr/bin/env python\n# coding: utf-8\nimport torch"),
        ("import os; import sys; a = (\n  1)", "import os; import sys; a = (\n  1)\nimport torch"),
        (
            "import os\nos.environ['A'] = 'b'\nfrom model import model\nif os:\n    import sys",
            "import os\nos.environ['A'] = 'b'\nimport torch\nfrom model import model\nif os:\n    import sys",
        ),
    ],
)  # fmt: skip
def test_torch_is_imported_once(head: str, top: str) -> None:
    assert spelt(head) == (top, "torch.no_grad()")


def test_a_file_that_begins_with_what_is_guarded() -> None:
    text = "# model\ny = model(x)\n"
    assert fixed(text, lambda t: Wrap(ordinal(t, "y ="), ordinal(t, "y ="))) == (
        "# model\nimport torch\n\nwith torch.no_grad():\n    y = model(x)\n"
    )
    function = "def f(x):\n    return model(x)\n"
    assert fixed(function, lambda t: Decorate(ordinal(t, "def f"))) == "import torch\n\n@torch.no_grad()\n" + function


def test_two_guards_share_one_import() -> None:
    text = "from model import model\na = model(1)\nb = 2\nc = model(3)\n"
    first, second = ordinal(text, "a ="), ordinal(text, "c =")
    assert fixed(text, lambda _: Wrap(first, first), lambda _: Wrap(second, second)) == (
        "import torch\nfrom model import model\nwith torch.no_grad():\n    a = model(1)\nb = 2\n"
        "with torch.no_grad():\n    c = model(3)\n"
    )


def test_an_import_of_the_function_itself() -> None:
    text = "def f(x):\n    import torch as th\n    y = model(x)\n    return y\n"
    assert fixed(text, lambda t: Wrap(ordinal(t, "y ="), ordinal(t, "y ="))) == (
        "def f(x):\n    import torch as th\n    with th.no_grad():\n        y = model(x)\n    return y\n"
    )


def test_what_is_imported_for_types_alone_does_not_exist() -> None:
    head = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"
    text = head + "def f(x):\n    y = model(x)\n    return y\n"
    assert fixed(text, lambda t: Wrap(ordinal(t, "y ="), ordinal(t, "y ="))) == (
        head + "def f(x):\n    import torch\n    with torch.no_grad():\n        y = model(x)\n    return y\n"
    )


def test_a_decorator_must_not_need_what_may_be_missing() -> None:
    head = "try:\n    import torch\nexcept ImportError:\n    torch = None\n"
    function = 'def f(x):\n    """Doc."""\n    y = model(x)\n    return y\n'
    assert fixed(head + function, lambda t: Decorate(ordinal(t, "def f"))) == (
        head + 'def f(x):\n    """Doc."""\n    with torch.no_grad():\n        y = model(x)\n        return y\n'
    )
    # What needs torch on import anyway may be decorated.
    needs = head + "class Net(torch.nn.Module): pass\n"
    assert fixed(needs + function, lambda t: Decorate(ordinal(t, "def f"))) == needs + "@torch.no_grad()\n" + function
    raises = head.replace("torch = None", "raise SystemExit")
    assert fixed(raises + function, lambda t: Decorate(ordinal(t, "def f"))) == raises + "@torch.no_grad()\n" + function


def test_a_decorator_sees_only_what_was_imported_above_it() -> None:
    text = "import os\ndef f(x):\n    return model(x)\nimport torch\n"
    assert fixed(text, lambda t: Decorate(ordinal(t, "def f"))) == (
        "import os\n\nimport torch\n@torch.no_grad()\ndef f(x):\n    return model(x)\nimport torch\n"
    )


def test_another_torch() -> None:
    text = "import olympics as torch\ny = model(x)\n"
    assert fixed(text, lambda t: Wrap(ordinal(t, "y ="), ordinal(t, "y ="))) is None


def test_names_in_a_replacement() -> None:
    text = "import torch as th\nwith th.no_grad(True):\n    a\n"
    assert fixed(text, lambda t: Replace(ordinal(t, "th.no_grad(True)"), "torch.set_grad_enabled(False)")) == (
        "import torch as th\nwith th.set_grad_enabled(False):\n    a\n"
    )
