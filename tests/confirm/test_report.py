"""What is told: the JSON document and its schema, the terminal, the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from made_up import NOTHING, REGION, TRAIN, WORKS, quiet, run, sample, trained

from nograd_lint.confirm import chart, page, text
from nograd_lint.confirm.document import document, suppression
from nograd_lint.confirm.judge import judge
from nograd_lint.confirm.metrics import computed, printed
from nograd_lint.confirm.patch import Proof
from nograd_lint.confirm.plan import Region
from nograd_lint.confirm.results import RunResult
from nograd_lint.confirm.session import Finding, Options, Outcome, exit_code

SITES = [["net.py", 12, "1 (ReLU)", 4 * 2**20], ["program.py", 3, "", 2**20]]
MEASURED = {
    "saved": 5 * 2**20, "saved_total": 6 * 2**20, "sites": SITES, "peak": {"profiler": 8 * 2**20},
    "held": {"profiler": 5 * 2**20}, "timeline": {"profiler": [[0.0, 0], [1.0, 8 * 2**20], [2.0, 5 * 2**20]]},
    "after_call": [2**20, 2 * 2**20, 3 * 2**20], "first_call": {"module": "Net", "inputs": [[[16, 8], "float32"]]},
}  # fmt: skip
GUARDED = {**MEASURED, "saved": 0, "saved_total": 0, "sites": [], "peak": {"profiler": 2**20}, "held": {"profiler": 0}}
TIME = {
    "pairs": 59, "unit": "cpu", "ratio": 1.2, "ci": [1.1, 1.3], "claim": "faster", "as_is": 1.0, "guarded": 0.8,
    "threads": 1,
}  # fmt: skip
ESTIMATE = {"batch": 16, "measured": 2**20, "saved": {"16": 2**20, "128": 8 * 2**20}, "why": None}
PRINTED = "accuracy 0.92\nconfusion matrix\n 5 1\n 2 7\n"


def finding(region: Region, a: RunResult, b: RunResult | None, **more: Any) -> Finding:
    return Finding(region, judge(region, a, b, None, 1e-4, alone=True), Proof(True, "it does"), b, **more)


def told(kind: str, cwd: Path) -> dict[str, Any]:
    """The document of one made-up confirmation."""
    values = {"return 0": {"k": "map", "n": 1, "v": {"f1": {"k": "number", "v": 0.5}}}}
    a = run(region={"samples": [sample(**MEASURED, values=values)]}, stdout=PRINTED)
    b = run("B", region={"samples": [sample(**GUARDED, values=values)]}, stdout=PRINTED)
    train = run(region=trained(NOTHING))
    found = {
        "confirmed": (a, finding(REGION, a, b, time=TIME, estimate=ESTIMATE), b),
        "refuted": (run(region=quiet()), finding(REGION, run(region=quiet()), b), b),
        "not reached": (run(calls=0), finding(REGION, run(calls=0), None), None),
        "error": (run(stopped="timeout"), finding(REGION, run(stopped="timeout"), None), None),
        "training": (train, finding(TRAIN, train, run("B-train", region=trained(WORKS))), None),
    }[kind]
    runs = {"A": found[0]} if found[2] is None else {"A": found[0], "B": found[2]}
    return document(Outcome([found[1]], runs), ["python", "program.py"], cwd, cwd, Options())


KINDS = ("confirmed", "refuted", "not reached", "error", "training")


@pytest.mark.parametrize("kind", KINDS)
def test_the_document_follows_its_schema(kind: str, tmp_path: Path) -> None:
    schema = json.loads(files("nograd_lint.confirm").joinpath("schema.json").read_text())
    content = json.loads(json.dumps(told(kind, tmp_path)))
    jsonschema.Draft202012Validator(schema).validate(content)
    assert content["results"][0]["filename"] == "program.py"


def test_the_terminal(tmp_path: Path) -> None:
    lines = text.render(told("confirmed", tmp_path)).splitlines()
    shown = "\n".join(line.rstrip() for line in lines)
    assert (
        shown
        == """\
NGL101 program.py:1 f()  CONFIRMED  results are bit-identical (1 value compared)
  held for backward, per call       5.0 MiB -> 0 B
                                    from net.py:12 1 (ReLU) 4.0 MiB, program.py:3 1.0 MiB
  saved in all, per call            6.0 MiB -> 0 B
  peak in the region (profiler)     8.0 MiB -> 1.0 MiB   (8.0x)
  still held after the call         5.0 MiB -> 0 B
  grows within a call by            1.0 MiB per batch
  saved per model call, by batch    16: 1.0 MiB; estimate for 128: 8.0 MiB
  model forward time                1.20x [1.10, 1.30], 59 pairs, CPU time, 1 thread: faster with the guard
  metrics                           as it is | with no_grad
    f1                              0.5 | equal
  as it is                                     █████████████████████████████▅ 8.0 MiB
  no_grad                                      █████████████████████████████▅ 1.0 MiB

What the program prints
  metrics                           as it is | with no_grad
    accuracy                        0.92 | equal
    confusion matrix                5 1 / 2 7 | equal

1 confirmed (torch 2.13.0, None); the program's exit code was 0"""
    )


def test_a_refuted_diagnostic_offers_its_suppression(tmp_path: Path) -> None:
    shown = text.render(told("refuted", tmp_path))
    assert "to silence it                     # nograd: ignore[NGL101] refuted by a run" in shown


def test_training_is_told_in_parameters(tmp_path: Path) -> None:
    shown = text.render(told("training", tmp_path))
    assert "0 of 6 parameters got a gradient, 0 changed; with gradients enabled 6 of 6 get one and 6 change" in shown


def test_a_suppression_is_one_comment() -> None:
    assert suppression("NGL101", "a backward pass reads 3 tensors saved here: the graph is needed; and so on") == (
        "# nograd: ignore[NGL101] refuted by a run: a backward pass reads 3 tensors saved here"
    )


class Page(HTMLParser):
    """Checks that what is opened is closed, and collects what a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "path", "line"):
            self.open.append(tag)
        self.loads += [str(value) for name, value in attrs if name in ("src", "xlink:href")]
        if tag in ("script", "link", "img", "iframe"):
            self.loads.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("path", "line")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_whole_and_needs_nothing_else(kind: str, tmp_path: Path) -> None:
    content = told(kind, tmp_path)
    content["command"].append("<script>alert(1)</script>")
    html = page.render(content)
    parser = Page()
    parser.feed(html)
    assert parser.open == []
    assert parser.loads == []
    assert not re.search(r"url\(|@import", html)
    assert "&lt;script&gt;" in html
    assert content["results"][0]["why"].partition(":")[0].capitalize() in html


def test_curves() -> None:
    points = [[0.0, 0.0], [1.0, 8.0], [2.0, 4.0]]
    assert chart.columns(points, 4) == [0.0, 0.0, 8.0, 4.0]
    assert chart.blocks(points, 8, 4) == "  █▄"
    assert chart.blocks([[0.0, 0.1]], 800, 1) == "▁"
    assert chart.blocks([], 0, 3) == "   "
    assert chart.path(points, 2, 8, 100, 10) == "M0 10.0H0.0H50.0V0.0H100.0V5.0"


def test_metrics_of_a_region_go_by_their_names() -> None:
    values = {
        "accuracy": {"k": "number", "v": 0.5},
        "factor": {"k": "number", "v": 0.5},
        "return 0": {
            "k": "map", "n": 2, "v": {
                "confusion": {"k": "array", "d": "int64", "s": [2, 2], "h": "", "v": [1, 2, 3, 4]},
                "val_loss": {"k": "array", "d": "float32", "s": [], "h": "", "v": [1.5]},
            },
        },
    }  # fmt: skip
    found = computed([{"values": values}], [{"values": values}])
    assert [(m.name, m.a, m.same) for m in found] == [
        ("accuracy", "0.5", True), ("confusion", "[[1, 2], [3, 4]]", True), ("val_loss", "1.5", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("val_acc: 0.91", "val_acc", "0.91"),
        ("Test set: Average loss: 0.0281, Accuracy: 9908/10000 (99%)", "Test set: Average loss",
         "0.0281, Accuracy: 9908/10000 (99%)"),
        ("test loss: tensor(0.5000, device='cuda:0') [dB]", "test loss", "0.5000 [dB]"),
        ("epoch 3", None, None),
        ("precision", None, None),
    ],
)  # fmt: skip
def test_printed_metrics(line: str, name: str | None, value: str | None) -> None:
    found = printed(line, line)
    assert [(m.name, m.a, m.same) for m in found] == ([(name, value, True)] if name else [])


def test_printed_metrics_that_differ() -> None:
    [metric] = printed("acc 0.91", "acc 0.92")
    assert (metric.a, metric.b, metric.same) == ("0.91", "0.92", False)


def test_exit_codes(tmp_path: Path) -> None:
    def code(*verdicts: str) -> int:
        found = finding(REGION, run(), None)
        findings = []
        for verdict in verdicts:
            one = Finding(REGION, type(found.verdict)(verdict, None, ""), found.proof)
            findings.append(one)
        return exit_code(findings)

    assert [code(), code("refuted"), code("not_reached"), code("refuted", "error")] == [0, 0, 0, 2]
    assert [code("confirmed"), code("error", "confirmed")] == [1, 1]
