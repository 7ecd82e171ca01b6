"""Whole confirmations with real torch: ways to start a program, and what a run must not do to it."""

from __future__ import annotations

import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest
from scenario import KINDS, confirm, confirm_text, diagnostic, regions_in

from nograd_lint.confirm.command import factories, parse
from nograd_lint.confirm.judge import figures, main_source
from nograd_lint.confirm.plan import plan
from nograd_lint.confirm.runner import Limits
from nograd_lint.confirm.session import Confirmation, Options, Outcome
from nograd_lint.diagnostics import Applicability, Edit, Fix, Position, Span
from nograd_lint.source.files import load

pytestmark = pytest.mark.torch

NET = """import torch
from torch import nn

model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4)).eval()
"""
PREDICT = """

def predict(x):
    return model(x).softmax(dim=1)  # begin, end

"""
SAVED = 16 * 64 * 4 + 16 * 4 * 4  # of a batch of 16: after the ReLU, and the softmax


def told(outcome: Outcome) -> list[str]:
    return [f"{f.verdict.verdict} {f.verdict.reason}" for f in outcome.findings]


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


# --- what is measured -------------------------------------------------------------------------------------------------


def test_hand_computed_bytes_in_every_sampled_call(place: Path) -> None:
    text = """import torch
from torch import nn

layers = [nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU()]
model = nn.Sequential(*layers, nn.Linear(1024, 10)).eval()


def predict(x):
    y = model(x)  # begin
    return y.argmax(dim=1)  # end


for _ in range(3):
    predict(torch.randn(256, 512))
"""
    outcome = confirm_text(place, text)
    [finding] = outcome.findings
    assert told(outcome) == ["confirmed bit_identical"]
    data = outcome.runs["A"].region(0)
    assert [(s["call"], s["saved"], s["saved_total"]) for s in data.full] == [
        (n, 3_145_728, 3_145_728) for n in (1, 2, 3)
    ]
    assert finding.b is not None
    assert [s["saved_total"] for s in finding.b.region(0).full] == [0, 0, 0]
    for sample in data.full:
        sites = sample["sites"]
        assert sum(site[3] for site in sites) == sample["saved"]
        assert {(site[0], site[1]) for site in sites} == {("program.py", 9)}
        assert sorted(site[2] for site in sites) == ["1 (ReLU)", "3 (ReLU)", "5 (ReLU)"]
    # The layers before the activations are gone by the end; three activations and the output remain.
    a, b = figures(data, "profiler"), figures(finding.b.region(0), "profiler")
    assert main_source(data) == "profiler"
    assert a["held"] == 3_145_728 + 256 * 10 * 4 + 256 * 8
    assert b["held"] == 256 * 10 * 4 + 256 * 8
    assert (a["peak"], b["peak"]) == (4 * 2**20, 2 * 2**20)


def test_a_loop_over_a_loader_counts_graphs_and_no_batches(place: Path) -> None:
    text = """import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)).eval()
data = DataLoader(TensorDataset(torch.randn(640, 64), torch.randint(10, (640,))), batch_size=128)


def validate():
    loss = 0.0
    for x, y in data:  # begin
        loss += F.cross_entropy(model(x), y)  # end
    return loss


validate()
"""
    outcome = confirm_text(place, text)
    [sample] = outcome.runs["A"].region(0).full
    assert (sample["saved"], sample["saved_total"]) == (1_336_340, 1_336_340)
    assert sum(site[3] for site in sample["sites"]) == 1_336_340


def test_graphs_that_are_used_late_are_found_by_later_samples(place: Path) -> None:
    text = NET + PREDICT + "head = nn.Linear(4, 1)\noutputs = [predict(torch.randn(16, 32)) for _ in range(9)]\n"
    text += "head(outputs[7]).sum().backward()\n"
    assert told(confirm_text(place, text)) == ["refuted graph_used"]


def test_regions_inside_each_other_are_measured_apart(place: Path) -> None:
    text = (
        NET
        + PREDICT
        + "total = 0\nfor _ in range(3):  # begin\n    total += predict(torch.randn(16, 32)).sum().item()  # end\n"
    )
    outcome = confirm_text(place, text)
    assert told(outcome) == ["confirmed bit_identical"] * 2
    inner, outer = (outcome.runs["A"].region(number) for number in (0, 1))
    assert [s["saved_total"] for s in inner.full] == [SAVED] * 3
    assert [s["saved_total"] for s in outer.full] == [3 * SAVED]


def test_a_profiler_of_the_program_keeps_working(place: Path) -> None:
    text = NET + PREDICT + """
with torch.autograd.profiler.profile() as profile:
    predict(torch.randn(16, 32))
print(any("addmm" in event.key for event in profile.key_averages()))
"""  # fmt: skip
    outcome = confirm_text(place, text)
    assert told(outcome) == ["confirmed bit_identical"]
    assert outcome.runs["A"].stdout == "True\n"
    data = outcome.runs["A"].region(0)
    assert main_source(data) == "dispatch"
    assert figures(data, "dispatch")["held"] == SAVED
    assert any("profiler itself" in note for note in outcome.findings[0].verdict.notes)


def test_hooks_of_the_program_hide_what_is_saved(place: Path) -> None:
    text = NET + "\nwith torch.autograd.graph.save_on_cpu():\n    model(torch.randn(16, 32))\n"
    text = (
        text.replace("\nwith", "\nif True:  # begin\n  with").replace("    model", "      model").rstrip() + "  # end\n"
    )
    assert told(confirm_text(place, text)) == ["error not_measurable"]


def test_timing_and_estimate(place: Path) -> None:
    text = NET + PREDICT + "for _ in range(3):\n    predict(torch.randn(16, 32))\n"
    outcome = confirm_text(place, text, time=True, batches=(160,))
    [finding] = outcome.findings
    assert finding.time is not None
    assert finding.time["pairs"] >= 20
    assert finding.time["claim"] in ("faster", "slower", "no measurable difference")
    one_call = 16 * 64 * 4
    assert finding.estimate == {
        "batch": 16, "measured": one_call, "saved": {"16": one_call, "160": 10 * one_call}, "why": None,
    }  # fmt: skip


# --- several diagnostics ----------------------------------------------------------------------------------------------


def test_the_one_that_breaks_the_program_is_found_among_several(place: Path) -> None:
    text = NET + PREDICT + """
def saliency(x):
    x.requires_grad_()
    model(x).sum().backward()  # begin, end
    return x.grad


predict(torch.randn(16, 32))
print(saliency(torch.randn(16, 32)).shape)
"""  # fmt: skip
    outcome = confirm_text(place, text)
    assert told(outcome) == ["confirmed bit_identical", "refuted fix_unsafe"]
    assert list(outcome.runs) == ["A", "B", "B1", "B2"]


# --- ways to start a program ------------------------------------------------------------------------------------------


def test_a_module_of_a_package_whose_bytecode_is_cached(place: Path) -> None:
    (place / "pkg").mkdir()
    (place / "pkg" / "__init__.py").write_text("")
    (place / "pkg" / "net.py").write_text(NET + PREDICT)
    (place / "pkg" / "__main__.py").write_text(
        "import sys\nfrom .net import predict, torch\n"
        "print(__name__, __package__, sys.argv[1:])\npredict(torch.randn(16, 32))\n"
    )
    py_compile.compile(str(place / "pkg" / "net.py"))
    before = files(place)
    span = regions_in(NET + PREDICT)[0]
    outcome = confirm(place, [diagnostic("pkg/net.py", span)], ["python", "-m", "pkg", "-v"])
    assert told(outcome) == ["confirmed bit_identical"]
    assert outcome.runs["A"].stdout == "__main__ pkg ['-v']\n"
    assert files(place) == before


def test_pytest_with_a_library_and_a_test_module(place: Path) -> None:
    (place / "net.py").write_text(NET + PREDICT)
    test = """import torch
from net import model, predict


def test_sum():
    assert torch.allclose(predict(torch.ones(16, 32)).sum(dim=1), torch.ones(16))


def test_direct():
    y = model(torch.ones(16, 32))  # begin
    assert y.shape == (16, 4)  # end
"""
    (place / "test_net.py").write_text(test)
    # Leaves rewritten bytecode behind, which must not be used.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=place, check=True, env=env)
    before = files(place)
    assert any("pytest" in name for name in before)
    diagnostics = [diagnostic("net.py", regions_in(NET + PREDICT)[0]), diagnostic("test_net.py", regions_in(test)[0])]
    outcome = confirm(place, diagnostics, ["python", "-m", "pytest", "-q"])
    assert told(outcome) == ["confirmed bit_identical"] * 2
    assert outcome.findings[0].verdict.stdout.same is True
    assert files(place) == before


def test_a_notebook(place: Path) -> None:
    cells = [
        "%matplotlib inline\n" + NET,
        "def predict(x):\n    return model(x).softmax(dim=1)",
        "y = predict(torch.randn(16, 32))\ndisplay(y.shape)\n!ls",
    ]
    notebook = {
        "cells": [
            {"cell_type": "code", "source": text, "metadata": {}, "outputs": [], "execution_count": None}
            for text in cells
        ],
        "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    path = place / "demo.ipynb"
    path.write_text(json.dumps(notebook))
    source = load(path, "demo.ipynb")
    rows = source.analysis.decode().splitlines()  # type: ignore[union-attr]
    row = next(number for number, text in enumerate(rows, 1) if "return model" in text)
    span = Span(Position(row, 5), Position(row, len(rows[row - 1]) + 1))
    outcome = confirm(place, [diagnostic("demo.ipynb", span)], ["python", "demo.ipynb"])
    assert told(outcome) == ["confirmed bit_identical"]
    assert outcome.runs["A"].stdout == "torch.Size([16, 4])\n"


def test_factories_of_the_configuration(place: Path) -> None:
    (place / "net.py").write_text(NET + PREDICT)
    (place / "entry.py").write_text(
        "import net\n\n\ndef make():\n    x = net.torch.randn(16, 32)\n    return lambda: net.predict(x)\n"
    )
    regions = plan([diagnostic("net.py", regions_in(NET + PREDICT)[0])], KINDS, place)
    command = factories(["entry:make"], sys.executable)
    outcome = Confirmation(regions, place, command, Options(time=False), Limits(120, 2**33)).confirm()
    assert told(outcome) == ["confirmed bit_identical"]


def test_the_fix_itself_can_be_run(place: Path) -> None:
    text = NET + PREDICT + "predict(torch.randn(16, 32))\nprint(torch.is_grad_enabled())\n"
    (place / "program.py").write_text(text)
    [span] = regions_in(text)
    edit = Edit("@torch.no_grad()\n", Span(Position(span.start.row - 1, 1), Position(span.start.row - 1, 1)))
    fixed = diagnostic("program.py", span, fix=Fix(Applicability.SAFE, "decorate", (edit,)))
    outcome = confirm(place, [fixed], ["python", "program.py"], run_patch=True)
    assert told(outcome) == ["confirmed bit_identical"]
    assert outcome.findings[0].b is not None
    data = outcome.findings[0].b.region(0)
    assert (data.modes, [s["saved_total"] for s in data.full]) == ({"disabled": 1}, [0])
    assert files(place) == ["program.py"]


HIDDEN = """import torch

weights = torch.zeros(4, requires_grad=True)
optimizer = torch.optim.SGD([weights], lr=0.1)


def train():
    for _ in range(3):
        optimizer.zero_grad()
        loss = ((weights - 1) ** 2).sum()
        loss = loss.detach().requires_grad_()  # begin, end
        loss.backward()
        optimizer.step()


train()
"""


def test_where_the_fix_is_no_matter_of_guards_it_runs_itself(place: Path) -> None:
    (place / "program.py").write_text(HIDDEN)
    [span] = regions_in(HIDDEN)
    line = Span(Position(span.start.row, 1), Position(span.start.row + 1, 1))
    fix = Fix(Applicability.UNSAFE, "remove the line", (Edit("", line),))
    outcome = confirm(place, [diagnostic("program.py", span, "NGL202", fix)], ["python", "program.py"])
    assert told(outcome) == ["confirmed no_gradient"]
    assert outcome.findings[0].verdict.why.endswith("; with the fix 1 of 1 get one and 1 change")
    assert files(place) == ["program.py"]


# --- what the program sees --------------------------------------------------------------------------------------------

CURIOUS = """import sys

sys.path_hooks  # nothing is hidden
import __main__

print(__name__, __file__, sys.argv, __package__, __spec__, __doc__, __main__.__file__)
print(sys.path[0], len(sys.path), sys.flags.dont_write_bytecode, repr(sys.stdin.read()))
print([name for name in sys.modules if "nograd_lint" in name])


def f(x):
    import torch  # begin

    raise ValueError("on line 14")  # end


try:
    f(1)
except ValueError as error:
    print(error.__traceback__.tb_next.tb_lineno)
f(1)
"""


def test_the_program_sees_what_it_would_see_alone(place: Path) -> None:
    outcome = confirm_text(place, CURIOUS, args=("--size", "3"))
    alone = subprocess.run(
        [sys.executable, "program.py", "--size", "3"], cwd=place, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    a = outcome.runs["A"]
    assert a.stdout == alone.stdout
    assert a.stderr == alone.stderr
    assert a.code == alone.returncode == 1
    assert told(outcome) == ["error program_fails"]
    assert "ValueError: on line 14" in outcome.findings[0].verdict.why


def test_output_goes_to_stderr_as_it_comes(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    confirm_text(place, NET + PREDICT + "print('grüße', predict(torch.ones(16, 32)).shape)\n")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("grüße torch.Size([16, 4])") == 1


# --- limits and files -------------------------------------------------------------------------------------------------


def test_memory_limit(place: Path) -> None:
    text = (
        NET
        + PREDICT
        + "import time\nkept = []\nwhile True:\n    kept.append(torch.ones(2**24))\n    time.sleep(0.05)\n"
    )
    (place / "program.py").write_text(text)
    regions = plan([diagnostic("program.py", regions_in(text)[0])], KINDS, place)
    command = parse([sys.executable, "program.py"])
    outcome = Confirmation(regions, place, command, Options(time=False), Limits(60, 800 * 2**20)).confirm()
    assert told(outcome) == ["error memory_limit"]


def test_files_that_the_program_writes_are_told(place: Path) -> None:
    text = NET + PREDICT + "predict(torch.randn(16, 32))\nopen('log.txt', 'a').write('x')\n"
    outcome = confirm_text(place, text)
    assert [Path(path).name for path in outcome.runs["A"].written] == ["log.txt"]
    assert (place / "log.txt").read_text() == "xx"


def test_a_copy_of_the_project_keeps_the_tree_as_it_is(place: Path) -> None:
    text = NET + PREDICT + "predict(torch.randn(16, 32))\nopen('log.txt', 'a').write('x')\n"
    text += "print(open('log.txt').read(), open('given.txt').read())\n"
    (place / "given.txt").write_text("here")
    outcome = confirm_text(place, text, cwd_copy=True)
    assert told(outcome) == ["confirmed bit_identical"]
    assert {run.stdout for run in outcome.runs.values()} == {"x here\n"}
    assert files(place) == ["given.txt", "program.py"]
    [site, *_] = outcome.runs["A"].region(0).full[0]["sites"]
    assert site[0] == "program.py"
