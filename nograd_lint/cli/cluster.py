"""The Dask cluster that a command was told to use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nograd_lint.cli import Failure, needs
from nograd_lint.executors import Dask, ExecutorError


@contextmanager
def dask(scheduler: str | None) -> Iterator[Dask]:
    """The cluster; everything that stands against it is told in one line."""
    if not scheduler:
        raise Failure("--executor dask needs --scheduler ADDRESS, such as tcp://host:8786")
    try:
        pool = Dask(scheduler)
    except ModuleNotFoundError as error:
        raise needs("--executor dask", error) from None
    except ExecutorError as error:
        raise Failure(str(error)) from None
    with pool:
        try:
            yield pool
        except ExecutorError as error:
            raise Failure(str(error)) from None
