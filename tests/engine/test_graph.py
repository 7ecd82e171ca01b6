"""What answers rest on is the same after it was kept."""

from __future__ import annotations

import random

import pytest

from nograd_lint.project.file import Use
from nograd_lint.project.graph import Graph, Kept, decode, encode
from tests.engine import edits
from tests.engine.test_incremental import engine, files


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, dict[Use, bytes], Kept]:
    """A graph and answers as a run has them, and as they are kept."""
    root = tmp_path_factory.mktemp("project")
    edits.project(root)
    one = engine(root)
    one.check(files(root))
    [linter] = one._linters.values()
    graph, answers = linter.world.graph, linter._all_answers()
    return graph, answers, decode(encode(graph, answers))


def test_nothing_is_lost(known: tuple[Graph, dict[Use, bytes], Kept]) -> None:
    graph, answers, kept = known
    again, answers_again = kept.graph((), ())
    assert answers_again == answers
    assert again.parts.keys() == graph.parts.keys()
    for node, (uses, nodes) in graph.parts.items():
        assert again.parts[node] == (uses, {other for other in nodes if other in graph.parts})


@pytest.mark.parametrize("seed", range(5))
def test_the_same_answers_go(known: tuple[Graph, dict[Use, bytes], Kept], seed: int) -> None:
    graph, answers, kept = known
    choose = random.Random(seed)
    paths = choose.sample(sorted({str(node[1]) for node in graph.parts}), 2)
    asked = kept.asked(paths, same=True) | kept.asked_of_stars(None)
    assert {use: asked[use][0] for use in asked} == {use: answers[use] for use in asked}
    assert asked.keys() >= {use for use in answers if len(use) > 2 and use[1] in paths and use[0] != "module"}
    stale = set(choose.sample(sorted(asked), min(5, len(asked))))
    gone = kept.invalid((number for use in stale for number in asked[use][1]), paths)
    assert set(gone.values()) == graph.invalid(stale, [("file", path) for path in paths])
    rest, answers_left = kept.graph(stale, gone)
    assert rest.parts.keys() == graph.parts.keys() - set(gone.values())
    assert answers_left.keys() == answers.keys() - stale
