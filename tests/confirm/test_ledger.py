"""Saved bytes, to the byte, and nothing changed about the program. Every figure is computed by hand."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.utils.checkpoint import checkpoint  # noqa: E402

from nograd_lint.confirm.estimate import estimate  # noqa: E402
from nograd_lint.confirm.ledger import Ledger  # noqa: E402
from nograd_lint.confirm.modules import ModuleCalls, tensors_in  # noqa: E402


def mlp(*sizes: int) -> Any:
    layers: list[Any] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def measured(run: Callable[[], Any]) -> Ledger:
    """Run under a ledger that knows the modules that are running, as the recorder's does."""
    holder: dict[str, Ledger] = {}
    calls = ModuleCalls(
        lambda _, args, kwargs: None if calls.stack else holder["ledger"].add_inputs(tensors_in((args, kwargs))),
        lambda *_: None,
    )
    ledger = holder["ledger"] = Ledger(depth=lambda: len(calls.stack))
    calls.install()
    try:
        with ledger:
            result = run()
    finally:
        calls.remove()
    del result  # until here the graph was alive
    return ledger


def test_mlp() -> None:
    model, x = mlp(512, 1024, 1024, 1024, 10), torch.randn(256, 512)
    for _ in range(3):
        account = measured(lambda: model(x)).account
        assert account.saved_total == account.saved == 3 * 256 * 1024 * 4 == 3_145_728


def test_cnn_in_eval_mode() -> None:
    def block(a: int, b: int) -> list[Any]:
        return [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()]

    layers = [*block(3, 32), nn.MaxPool2d(2), *block(32, 64), nn.MaxPool2d(2), *block(64, 128)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)).eval()
    b = 16
    floats = 2 * b * 32 * 32 * 32 + 2 * b * 32 * 16 * 16 + b * 32 * 16 * 16
    floats += 2 * b * 64 * 16 * 16 + 2 * b * 64 * 8 * 8 + b * 64 * 8 * 8
    floats += 2 * b * 128 * 8 * 8 + b * 128
    x = torch.randn(b, 3, 32, 32)
    for _ in range(3):
        assert measured(lambda: model(x)).account.saved_total == 4 * floats == 9_707_520


BATCH = 2 * 128 * 256 * 4 + 128 * 10 * 4 + 4


def batches() -> Iterator[tuple[Any, Any]]:
    for _ in range(5):
        yield torch.randn(128, 64), torch.randint(10, (128,))


@pytest.mark.parametrize("source", [batches, lambda: [*batches()]], ids=["made in the region", "made before"])
def test_validation_loop_that_keeps_its_graphs(source: Callable[[], Any]) -> None:
    model, data, held = mlp(64, 256, 256, 10), source(), []

    def loop() -> None:
        loss = 0
        for x, y in data:
            loss = loss + F.cross_entropy(model(x), y)
        held.append(loss)

    ledger = measured(loop)
    assert ledger.account.saved == ledger.account.saved_total == 5 * BATCH == 1_336_340
    assert ledger.account.live == 5 * BATCH
    held.clear()
    assert ledger.account.live == 0


def test_validation_loop_that_takes_numbers() -> None:
    model = mlp(64, 256, 256, 10)

    def loop() -> None:
        total = 0.0
        for x, y in batches():
            total += F.cross_entropy(model(x), y).item()

    account = measured(loop).account
    assert (account.saved_total, account.saved, account.live) == (5 * BATCH, BATCH, 0)


def test_two_graphs_live_while_the_old_output_is_bound() -> None:
    model = mlp(64, 256, 256, 10)

    def loop() -> None:
        for x, y in batches():
            loss = F.cross_entropy(model(x), y)
            loss.item()

    assert measured(loop).account.saved == 2 * BATCH


def test_the_model_itself_and_the_batch_do_not_count() -> None:
    linear, x = nn.Linear(64, 8), torch.randn(16, 64)
    assert measured(lambda: linear(x)).account.saved_total == 0
    assert measured(lambda: linear(torch.randn(16, 64))).account.saved_total == 0
    assert measured(lambda: F.linear(torch.randn(4, 16, 64), linear.weight)).account.saved_total == 0
    assert measured(lambda: nn.Embedding(9, 4)(torch.arange(5))).account.saved_total == 0


def test_what_operations_save_beside_does_count() -> None:
    x = torch.randn(4, 32, requires_grad=True)
    kept = []
    assert measured(lambda: kept.append(F.dropout(x, 0.5))).account.saved_total == 4 * 32 * 4  # the mask
    assert measured(lambda: kept.append(F.max_pool1d(x, 2))).account.saved_total == 4 * 16 * 8  # int64 indices
    assert measured(lambda: kept.append(F.cross_entropy(x, torch.zeros(4, dtype=torch.long)))).account.saved_total == (
        4 * 32 * 4 + 4  # log-softmax, and the sum of the weights
    )


def test_a_view_counts_the_storage_that_it_keeps_alive() -> None:
    x = torch.randn(4000, requires_grad=True)

    def run() -> Any:
        return x.exp()[:8].exp()

    assert measured(run).account.saved_total == 4000 * 4 + 8 * 4


def test_no_guarded_operation_saves_anything() -> None:
    model, x = mlp(64, 256, 10), torch.randn(16, 64)
    for guard in (torch.no_grad, torch.inference_mode):
        with guard():
            assert measured(lambda: model(x)).account.packs == 0


def test_checkpointed_modules_keep_their_input_alone() -> None:
    model, x = mlp(64, 256, 256, 10), torch.randn(16, 64, requires_grad=True)
    kept = []
    for reentrant in (True, False):
        account = measured(lambda r=reentrant: kept.append(checkpoint(model, x, use_reentrant=r))).account
        assert account.saved_total == 0


def test_custom_functions() -> None:
    class Double(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x * 2
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * 2

    x = torch.randn(2048, requires_grad=True)
    assert measured(lambda: Double.apply(x)).account.saved_total == 8192


def test_reading_is_noticed_once_per_saved_tensor() -> None:
    model, x = mlp(8, 16, 4), torch.randn(4, 8)
    kept: list[Any] = []
    ledger = measured(lambda: kept.append(model(x).sum()))
    assert ledger.account.unpacks == 0
    kept[0].backward(retain_graph=True)
    seen = ledger.account.unpacks
    kept[0].backward()
    assert ledger.account.unpacks == seen > 0


def test_sites_add_up() -> None:
    model, x = mlp(64, 256, 256, 10), torch.randn(16, 64)
    calls = ModuleCalls(lambda *_: None, lambda *_: None)
    calls.install()
    with Ledger(where=calls.label) as ledger:
        model(x)
    calls.remove()
    assert ledger.account.sites() == [("1 (ReLU)", 16 * 256 * 4), ("3 (ReLU)", 16 * 256 * 4)]
    assert sum(size for _, size in ledger.account.sites()) == ledger.account.saved


# --- nothing is changed about the program -----------------------------------------------------------------------------


def gradients(model: Any, x: Any, *, ledger: bool) -> list[Any]:
    model.zero_grad()
    torch.manual_seed(0)
    if ledger:
        with Ledger():
            loss = model(x).square().mean()
    else:
        loss = model(x).square().mean()
    loss.backward()
    return [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, nn.Tanh, nn.Softplus, nn.SiLU])
@pytest.mark.parametrize("norm", [nn.Identity, nn.BatchNorm1d, nn.LayerNorm, nn.Dropout])
@pytest.mark.parametrize("width", [1, 3, 8, 17, 32])
def test_gradients_are_bit_identical(activation: Any, norm: Any, width: int) -> None:
    torch.manual_seed(width)
    inner = {nn.Identity: (), nn.Dropout: (0.5,)}.get(norm, (width,))
    model = nn.Sequential(nn.Linear(6, width), norm(*inner), activation(), nn.Linear(width, 2))
    x = torch.randn(5, 6)
    plain, watched = gradients(model, x, ledger=False), gradients(model, x, ledger=True)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))


def test_double_backward_is_bit_identical() -> None:
    def second(ledger: bool) -> Any:
        torch.manual_seed(0)
        x = torch.randn(8, requires_grad=True)
        with Ledger() if ledger else torch.enable_grad():
            y = (x.exp() * x.sin()).sum()
            [g] = torch.autograd.grad(y, x, create_graph=True)
        [h] = torch.autograd.grad(g.square().sum(), x)
        return h

    assert torch.equal(second(True), second(False))


def test_changes_in_place_are_still_errors() -> None:
    x = torch.randn(4, requires_grad=True)
    with Ledger():
        y = x.exp()
        z = y.sum()
        y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_memory_is_freed_without_the_garbage_collector() -> None:
    model, x = mlp(64, 256, 256, 10), torch.randn(16, 64)
    gc.disable()
    try:
        kept = []
        ledger = measured(lambda: kept.append(model(x).softmax(1)))
        assert ledger.account.live == ledger.account.saved_total > 0
        kept.clear()
        assert ledger.account.live == 0
    finally:
        gc.enable()


def test_the_programs_own_hooks_are_noticed() -> None:
    with Ledger() as ledger:
        assert ledger.innermost()
        with torch.autograd.graph.save_on_cpu():
            assert not ledger.innermost()
        assert ledger.innermost()


# --- the estimate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (mlp(64, 256, 256, 10), (16, 64)),
        (
            nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            (16, 3, 16, 16),
        ),
        (nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.1), nn.LayerNorm(32), nn.GELU()), (16, 12, 8)),
    ],
    ids=["mlp", "cnn", "dropout and norm"],
)
@pytest.mark.parametrize("training", [False, True])
def test_the_estimate_is_what_is_measured(model: Any, shape: tuple[int, ...], training: bool) -> None:
    model.train(training)
    found = estimate(model, (torch.randn(*shape),), {}, [2, 64])
    assert found["why"] is None
    for size, saved in found["saved"].items():
        x = torch.randn(int(size), *shape[1:])
        assert measured(lambda x=x: model(x)).account.saved_total == saved


def test_an_estimate_that_fails_says_why() -> None:
    class Odd(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x[: int(x.sum().item())]

    assert estimate(Odd(), (torch.ones(4, 4),), {}, [8])["why"]
    assert "first dimension" in estimate(Odd(), (torch.ones(4), torch.ones(5)), {}, [8])["why"]
