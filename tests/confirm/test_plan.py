"""From a diagnostic to the statements that are measured, and whether run B is the fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenario import KINDS, diagnostic, regions_in

from nograd_lint.confirm.patch import Proof, prove
from nograd_lint.confirm.patched import patch_files
from nograd_lint.confirm.plan import Region, plan
from nograd_lint.diagnostics import Applicability, Edit, Fix, Position, Span
from nograd_lint.fixes.draft import apply_edits
from nograd_lint.source.files import SourceFile, load


def region_of(place: Path, text: str, code: str = "NGL101", edits: list[Edit] | None = None) -> Region:
    (place / "program.py").write_bytes(text.encode())
    [span] = regions_in(text)
    fix = Fix(Applicability.SAFE, "fix", tuple(edits)) if edits is not None else None
    [region] = plan([diagnostic("program.py", span, code, fix)], KINDS, place)
    return region


def source(region: Region) -> SourceFile:
    found = load(region.path, "program.py")
    assert isinstance(found, SourceFile)
    return found


def proof_of(place: Path, text: str, edits: list[Edit], guard: str = "no_grad", code: str = "NGL101") -> Proof:
    region = region_of(place, text, code, edits)
    return prove(source(region), region, guard)


def insert(row: int, column: int, content: str) -> Edit:
    return Edit(content, Span(Position(row, column), Position(row, column)))


PLACES = [
    ("one statement", "x = 1\ny = f(x)  # begin, end\n", (2, 0), (2, 0)),
    ("several", "a = 1  # begin\nb = 2\nc = 3  # end\nd = 4\n", (1, 0), (3, 0)),
    ("a loop", "for x in y:  # begin\n    f(x)  # end\n", (1, 0), (1, 0)),
    ("inside a loop", "for x in y:\n    f(x)  # begin, end\n", (2, 4), (2, 4)),
    ("a function is its body", "def f(x):  # begin\n    '''Doc.'''\n    y = x\n    return y  # end\n", (3, 4), (4, 4)),
    ("with its decorator", "@d\ndef f(x):  # begin\n    return x  # end\n", (3, 4), (3, 4)),
    ("after non-ASCII text", "é = 'é'; y = f(é)  # begin, end\n", (1, 0), (1, 11)),
    ("windows line ends", "x = 1\r\ny = 2  # begin, end\r\n", (2, 0), (2, 0)),
    ("not the future", "from __future__ import annotations  # begin\nx = 1  # end\n", (2, 0), (2, 0)),
]


@pytest.mark.parametrize(("text", "first", "last"), [p[1:] for p in PLACES], ids=[p[0] for p in PLACES])
def test_places(place: Path, text: str, first: tuple[int, int], last: tuple[int, int]) -> None:
    region = region_of(place, text)
    assert region.problem is None
    assert (region.first, region.last) == (first, last)


def test_training_is_measured_inside_the_block_that_the_fix_removes(place: Path) -> None:
    text = "with torch.no_grad():  # begin\n    loss = f()\n    loss.backward()  # end\n"
    assert region_of(place, text, "NGL202").first == (2, 4)
    assert region_of(place, text, "NGL101").first == (1, 0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def f():\n    for x in y:  # begin\n        yield x  # end\n", "yield"),
        ("async def f():\n    x = await g()  # begin, end\n", "await"),
        ("class A:  # begin\n    x = 1  # end\n", "class"),
        ("x = (1  # begin, end\n", "parse"),
    ],
)
def test_regions_that_cannot_be_measured(place: Path, text: str, why: str) -> None:
    assert why in (region_of(place, text).problem or "")


def test_a_yield_of_a_function_defined_inside_is_harmless(place: Path) -> None:
    assert region_of(place, "def f():  # begin\n    def g():\n        yield 1\n    return g  # end\n").problem is None


def test_rules_that_no_measurement_shows(place: Path) -> None:
    assert "does not show" in (region_of(place, "x = 1  # begin, end\n", "NGL203").problem or "")


# --- run B and the fix ------------------------------------------------------------------------------------------------

BODY = "import torch\n\n\ndef f(model, x):\n    '''Doc.'''\n    model.eval()\n"
BODY += "    y = model(x)  # begin\n    return y  # end\n"
WITH = [insert(7, 5, "with torch.no_grad():\n        "), insert(8, 5, "    ")]


def test_a_block_around_the_region_is_run_b(place: Path) -> None:
    assert "    with torch.no_grad():\n        y = model(x)" in apply_edits(BODY, WITH)
    proof = proof_of(place, BODY, WITH)
    assert (proof.equal, proof.cover) == (True, None)


def test_a_decorator_guards_more_than_the_region_and_run_b_with_it(place: Path) -> None:
    proof = proof_of(place, BODY, [insert(4, 1, "@torch.no_grad()\n")])
    assert proof.equal
    assert proof.cover == ((6, 4), (8, 4))


def test_another_guard_is_another_fix(place: Path) -> None:
    edits = [insert(4, 1, "@torch.inference_mode()\n")]
    assert not proof_of(place, BODY, edits).equal
    assert proof_of(place, BODY, edits, "inference_mode").equal


def test_a_fix_that_changes_a_value_is_not_run_b(place: Path) -> None:
    change = Edit("y + 0", Span(Position(8, 12), Position(8, 13)))
    proof = proof_of(place, BODY, [*WITH, change])
    assert (proof.equal, proof.why) == (False, "the fix changes more than the guard")


def test_a_fix_that_leaves_a_part_out_is_not_run_b(place: Path) -> None:
    proof = proof_of(place, BODY, [*WITH[:1], insert(7, 18, "\n")])
    assert (proof.equal, proof.why) == (False, "the fix leaves some of the region without a guard")


def test_an_added_import_and_a_dropped_bare_call_change_nothing(place: Path) -> None:
    text = "import numpy\nimport torch\nno_grad()\ny = model(x)  # begin, end\n"
    edits = [
        Edit("", Span(Position(3, 1), Position(4, 1))),
        insert(4, 1, "with no_grad():\n    "),
        insert(2, 1, "from torch import no_grad\n"),
    ]
    assert proof_of(place, text, edits).equal


def test_a_fix_that_frees_training_is_run_b(place: Path) -> None:
    text = "with torch.no_grad():  # begin\n    loss = f()\n    loss.backward()  # end\n"
    edits = [
        Edit("", Span(Position(1, 1), Position(2, 5))),
        Edit("", Span(Position(3, 1), Position(3, 5))),
    ]
    assert proof_of(place, text, edits, code="NGL202").equal


def test_the_patched_file_has_its_probe_around_the_guard(place: Path) -> None:
    region = region_of(place, BODY, edits=WITH)
    found = patch_files([region], {region.path: source(region)})
    assert found is not None
    patched = found[region.path]
    assert patched.text == apply_edits(BODY, WITH)
    assert patched.places == {0: ((7, 4), (7, 4))}


def test_fixes_that_overlap_are_not_applied_together(place: Path) -> None:
    change = [Edit("z", Span(Position(7, 5), Position(7, 10)))]
    first = region_of(place, BODY, edits=change)
    second = region_of(place, BODY, edits=[Edit("w", Span(Position(7, 7), Position(7, 12)))])
    assert patch_files([first, second], {first.path: source(first)}) is None
