"""Does training in a region train? Watches ``backward`` and optimizer steps (runs in the user's interpreter).

Steps inside the region speak for it. Where the region has none of its own (only the forward, or one line, is flagged),
the next step after it does, provided that it updates parameters of the modules that ran in the region.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch

from .ledger import live_tensors
from .modules import ModuleCalls
from .state import RegionState, Run

COMPARED = 3  # steps whose parameters are compared bit by bit, before and after


class _Watched:
    """What is known of one region."""

    def __init__(self, region: RegionState) -> None:
        self.region = region
        self.inside = 0  # depth: calls of the region that are running
        self.base = 0  # module calls around the region
        self.pending = False  # a call has ended and no step has followed yet
        self.parameters: dict[int, Any] = {}  # of the modules that ran in it, by id
        self.counts = {"inside": _counts(), "after": _counts()}
        self.errors: list[str] = []
        self.manual = 0  # parameters with a gradient that the region changed by itself
        self.before: list[tuple[Any, int]] = []

    @property
    def where(self) -> str | None:
        return "inside" if self.inside else "after" if self.pending else None


def _counts() -> dict[str, int]:
    return {"backward": 0, "steps": 0, "parameters": 0, "with_gradient": 0, "changed": 0, "compared": 0}


class TrainWatch:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._watched: dict[int, _Watched] = {}
        self._installed = False
        self._calls = ModuleCalls(self._before_call, lambda *_: None)
        self._snapshots: dict[int, list[tuple[Any, Any]]] = {}

    # --- the region -------------------------------------------------------------------------------------------------

    def enter(self, region: RegionState, variables: Mapping[str, Any], scan: bool) -> None:
        if not self._installed:
            self._install()
        watched = self._watched.setdefault(region.id, _Watched(region))
        watched.inside += 1
        watched.base = len(self._calls.stack)
        watched.pending = False
        owner = variables.get("self")
        if isinstance(owner, torch.nn.Module):
            self._add(watched, owner)
        if scan:
            # Only parameters that have a gradient: an update by hand needs one.
            tensors = (t for t in live_tensors() if t.is_leaf and t.requires_grad and t.grad is not None)
            watched.before = [(weakref.ref(t), t._version) for t in tensors]

    def leave(self, region: RegionState, raised: str | None) -> None:
        watched = self._watched[region.id]
        watched.inside -= 1
        watched.pending = True
        changed = [ref() for ref, version in watched.before if ref() is not None and ref()._version != version]
        stepped = watched.counts["inside"]["steps"]
        if changed and not stepped:
            watched.manual = max(watched.manual, len(changed))
        watched.before = []
        if raised is not None:
            watched.errors.append(raised)
        if region.calls & (region.calls - 1) == 0:
            self._write(watched)

    def write(self) -> None:
        for watched in self._watched.values():
            self._write(watched)

    def _write(self, watched: _Watched) -> None:
        self._run.write(
            "train",
            **watched.region.counters(),
            inside=watched.counts["inside"],
            after=watched.counts["after"],
            errors=watched.errors[:3],
            manual=watched.manual,
            flagged=len(watched.parameters),
        )

    # --- hooks ------------------------------------------------------------------------------------------------------

    def _install(self) -> None:
        self._installed = True
        self._calls.install()
        backward, grad = torch.autograd.backward, torch.autograd.grad

        def watched_backward(*args: Any, **kwargs: Any) -> Any:
            return self._backward(backward, args, kwargs)

        def watched_grad(*args: Any, **kwargs: Any) -> Any:
            return self._backward(grad, args, kwargs)

        torch.autograd.backward = watched_backward  # Tensor.backward() calls it by this name
        torch.autograd.grad = watched_grad
        from torch.optim import optimizer

        optimizer.register_optimizer_step_pre_hook(self._before_step)
        optimizer.register_optimizer_step_post_hook(self._after_step)

    def _backward(self, original: Any, args: Any, kwargs: Any) -> Any:
        interested = [w for w in self._watched.values() if w.where is not None]
        try:
            result = original(*args, **kwargs)
        except RuntimeError as error:
            if "does not require grad" in str(error):
                for watched in interested:
                    watched.errors.append(f"backward: {error}")
                    self._write(watched)
            raise
        for watched in interested:
            watched.counts[watched.where or "after"]["backward"] += 1
        return result

    def _before_call(self, module: Any, *_: Any) -> None:
        for watched in self._watched.values():
            if watched.inside and len(self._calls.stack) <= watched.base:
                self._add(watched, module)

    @staticmethod
    def _add(watched: _Watched, module: Any) -> None:
        for parameter in module.parameters():
            if parameter.requires_grad and id(parameter) not in watched.parameters:
                watched.parameters[id(parameter)] = weakref.ref(parameter)

    def _relevant(self, watched: _Watched, optimizer: Any) -> list[Any] | None:
        """The parameters to look at in this step; None where the step is none of the region's business."""
        if watched.where is None:
            return None
        trained = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        flagged = [p for p in trained if id(p) in watched.parameters]
        if flagged:
            return flagged
        # Another optimizer's step says nothing about modules that ran in the region.
        return trained if watched.inside or not watched.parameters else None

    def _before_step(self, optimizer: Any, *_: Any) -> None:
        for watched in self._watched.values():
            parameters = self._relevant(watched, optimizer)
            if parameters is None:
                continue
            counts = watched.counts[watched.where or "after"]
            counts["steps"] += 1
            counts["parameters"] = max(counts["parameters"], len(parameters))
            self._count_gradients(counts, parameters)
            if counts["compared"] < COMPARED:
                counts["compared"] += 1
                self._snapshots[watched.region.id] = [(p, p.detach().clone()) for p in parameters]

    def _after_step(self, optimizer: Any, *_: Any) -> None:
        for watched in self._watched.values():
            where, parameters = watched.where, self._relevant(watched, optimizer)
            if where is None or parameters is None:
                continue
            counts = watched.counts[where]
            self._count_gradients(counts, parameters)  # a closure's backward runs within the step
            changed = sum(
                1 for p, old in self._snapshots.pop(watched.region.id, []) if not torch.equal(p.detach(), old)
            )
            counts["changed"] = max(counts["changed"], changed)
            if not watched.inside:
                watched.pending = False
            if counts["steps"] & (counts["steps"] - 1) == 0:
                self._write(watched)

    @staticmethod
    def _count_gradients(counts: dict[str, int], parameters: list[Any]) -> None:
        found = sum(1 for p in parameters if p.grad is not None and bool(_nonzero(p.grad)))
        counts["with_gradient"] = max(counts["with_gradient"], found)


def _nonzero(gradient: Any) -> Any:
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    return values.detach().ne(0).any()
