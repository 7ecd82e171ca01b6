"""What autograd keeps for a backward pass, to the byte (runs in the user's interpreter).

Saved-tensor hooks see every tensor at the moment an operation saves it, and again when a backward pass reads it. The
hooks here change nothing about that: gradients and double backward are bit-identical, changes in place are still
errors, and memory is freed when it would have been.

Counted are the storages that exist because of the graph: activations, and what operations save beside them (the
indices of a pooling, the mask of a dropout). Not counted are parameters and buffers, whatever existed before the
account was opened, and the batch: leaves that the region was given, from a loader or as arguments of a module.

>>> with Ledger() as ledger:
...     out = model(x)
>>> ledger.account.saved, ledger.account.saved_total
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch


class Account:
    """The bytes saved from its opening to its closing. Storages count once, however often they are saved."""

    def __init__(self) -> None:
        self.open = True
        self.saved = 0  # alive at once, at its largest
        self.saved_total = 0  # sum over everything saved
        self.live = 0  # alive now; falls on after the account is closed
        self.packs = 0  # tensors saved, counted or not
        self.unpacks = 0  # of them, how many a backward pass has read
        self._sites: dict[Any, int] = {}
        self._largest: dict[Any, int] = {}
        self._risen = False  # ``saved`` was reached and nothing was freed since

    def credit(self, size: int, site: Any) -> None:
        self.saved_total += size
        self.live += size
        self._sites[site] = self._sites.get(site, 0) + size
        if self.live > self.saved:
            self.saved = self.live
            self._risen = True

    def debit(self, size: int, site: Any) -> None:
        self._keep_largest()
        self.live -= size
        self._sites[site] -= size

    def close(self) -> None:
        self._keep_largest()
        self.open = False

    def _keep_largest(self) -> None:
        if self.open and self._risen:
            self._largest = dict(self._sites)
            self._risen = False

    def sites(self) -> list[tuple[Any, int]]:
        """What ``saved`` is made of: the sites whose bytes were alive at its largest, biggest first."""
        self._keep_largest()
        return sorted(((s, n) for s, n in self._largest.items() if n), key=lambda item: (-item[1], str(item[0])))


class Known:
    """Storages of tensors that Python holds, for as long as it holds them (an address may be used again after that)."""

    def __init__(self) -> None:
        self.keys: dict[int, int] = {}
        self._refs: dict[int, tuple[Any, int]] = {}

    def add(self, tensor: torch.Tensor) -> None:
        if id(tensor) in self._refs:
            return
        key = storage_key(tensor)
        if key is None:
            return
        me = id(tensor)
        self._refs[me] = (weakref.ref(tensor, lambda _: self._forget(me)), key)
        self.keys[key] = self.keys.get(key, 0) + 1

    def _forget(self, me: int) -> None:
        _, key = self._refs.pop(me)
        self.keys[key] -= 1
        if not self.keys[key]:
            del self.keys[key]

    def __contains__(self, key: int) -> bool:
        return key in self.keys


def storage_key(tensor: torch.Tensor) -> int | None:
    """What identifies the memory of a tensor while that is alive; None for tensors without a storage of their own."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError, AttributeError):
        return None


def storage_size(tensor: torch.Tensor) -> int:
    try:
        return int(tensor.untyped_storage().nbytes())
    except (RuntimeError, NotImplementedError, AttributeError):
        return int(tensor.numel()) * int(tensor.element_size())  # sparse, nested and other tensors without a storage


class _Kept:
    """One storage that saved tensors keep alive."""

    __slots__ = ("accounts", "refs", "site", "size")

    def __init__(self, size: int, site: Any, accounts: list[Account]) -> None:
        self.size = size
        self.site = site
        self.accounts = accounts
        self.refs = 0


class _Handle:
    """Stands in the graph for a saved tensor; dies with the graph node."""

    __slots__ = ("accounts", "kept", "key", "ledger", "tensor", "unread", "version")

    def __init__(self, ledger: Ledger, tensor: torch.Tensor, version: int | None) -> None:
        self.ledger = ledger
        # A handle that held a non-leaf itself would keep its own graph node alive for ever.
        self.tensor = tensor if tensor.is_leaf else tensor.detach()
        self.version = version
        self.accounts = [account for account in ledger.accounts if account.open]
        self.kept: _Kept | None = None
        self.key: int | None = None
        self.unread = True

    def __del__(self) -> None:
        kept = self.kept
        if kept is None:
            return
        kept.refs -= 1
        if kept.refs == 0:
            self.ledger.kept.pop(self.key, None)
            for account in kept.accounts:
                account.debit(kept.size, kept.site)


def _version(tensor: torch.Tensor) -> int | None:
    try:
        return int(tensor._version)
    except (RuntimeError, AttributeError):
        return None  # inference tensors do not keep one


class Ledger:
    """Saved-tensor hooks with their bookkeeping; a context manager for one thread.

    ``where`` names the site of a tensor that is being saved, ``depth`` how many module calls it lies within, and
    ``on_read`` is told when a backward pass reads tensors of an account for the first time.
    """

    def __init__(
        self,
        where: Callable[[], Any] | None = None,
        depth: Callable[[], int] | None = None,
        on_read: Callable[[Account], None] | None = None,
        scan: bool = True,
    ) -> None:
        self.account = Account()
        self.accounts: list[Account] = [self.account]
        self.kept: dict[int | None, _Kept] = {}
        self.existed = Known()
        self.inputs = Known()
        self.scanned = False
        self._scan = scan
        self._where = where or (lambda: None)
        self._depth = depth or (lambda: 0)
        self._on_read = on_read
        self._hooks: Any = None

    def __enter__(self) -> Ledger:  # noqa: PYI034 - Self is newer than Python 3.9
        calibrate()
        if self._scan:
            self.scan_existing()
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)
        self._hooks.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._hooks.__exit__(*exc)
        for account in self.accounts:
            account.close()

    def scan_existing(self) -> None:
        """Take everything that there is now for what existed before."""
        self.scanned = True
        for tensor in live_tensors():
            self.existed.add(tensor)

    def innermost(self) -> bool:
        """Whether these hooks are the ones in force; the program may have put its own inside them."""
        top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
        if top is None:
            return True
        hooks = top(True)
        return hooks is None or hooks[0] == self._pack

    def add_inputs(self, tensors: Iterable[torch.Tensor]) -> None:
        """Declare tensors to be given to the region: its batch."""
        for tensor in tensors:
            if tensor.grad_fn is None:
                self.inputs.add(tensor)

    def _pack(self, tensor: torch.Tensor) -> _Handle:
        references = sys.getrefcount(tensor)
        handle = _Handle(self, tensor, _version(tensor))
        for account in handle.accounts:
            account.packs += 1
        key = storage_key(tensor)
        kept = self.kept.get(key) if key is not None else None
        if kept is None:
            if not self._counts(tensor, key, references):
                return handle
            kept = _Kept(storage_size(tensor), self._where(), handle.accounts)
            self.kept[key if key is not None else -id(handle)] = kept
            for account in handle.accounts:
                account.credit(kept.size, kept.site)
        kept.refs += 1
        handle.kept = kept
        handle.key = key if key is not None else -id(handle)
        return handle

    def _counts(self, tensor: torch.Tensor, key: int | None, references: int) -> bool:
        base = tensor if tensor._base is None else tensor._base
        if base.is_leaf and base.requires_grad:
            return False  # a parameter, or a view of one: Linear saves weight.t()
        if key is not None and (key in self.existed or key in self.inputs):
            return False
        if tensor.grad_fn is not None or base.grad_fn is not None:
            return True
        # A leaf. Outside modules, one that Python held before the operation is the region's input (the targets of a
        # loss); what nobody held until now is the operation's own.
        return self._depth() > 0 or not _held(tensor, references)

    def _unpack(self, handle: _Handle) -> torch.Tensor:
        if handle.version is not None and handle.tensor._version != handle.version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"[{handle.tensor.type()} {list(handle.tensor.shape)}] is at version {handle.tensor._version}; "
                f"expected version {handle.version} instead."
            )
        if handle.unread:
            handle.unread = False
            for account in handle.accounts:
                account.unpacks += 1
                if self._on_read is not None:
                    self._on_read(account)
        return handle.tensor


# --- who holds a tensor ---------------------------------------------------------------------------------------------

_FRESH = 0  # references to a tensor object that was made for the pack hook alone
_FRESH_BASE = 0  # and to the base of a view where only the view holds that


def calibrate() -> None:
    """Find out how many references the pack hook sees on a tensor that nobody else holds."""
    global _FRESH, _FRESH_BASE  # noqa: PLW0603
    if _FRESH:
        return
    seen: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        seen.append(sys.getrefcount(tensor))
        return tensor.detach()

    with torch.inference_mode(False), torch.enable_grad():
        probe = torch.zeros(1, 2, 2, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            torch.nn.functional.max_pool1d(probe, 2)  # saves indices that nobody asked for
    _FRESH = seen[-1]
    _FRESH_BASE = _references_to_base(torch.zeros(2)[1:])


def _references_to_base(view: torch.Tensor) -> int:
    base = view._base
    return 0 if base is None else sys.getrefcount(base)


def _held(tensor: torch.Tensor, references: int) -> bool:
    return references > _FRESH or _references_to_base(tensor) > _FRESH_BASE


def live_tensors() -> list[torch.Tensor]:
    """All tensors that Python objects hold."""
    # By type, not isinstance: some objects compute their __class__.
    return [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
