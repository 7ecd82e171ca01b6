"""What the client asks for: its settings, and how it wants to be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from nograd_lint.diagnostics import Confidence


class Options(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The settings of the section ``nograd-lint``; what is not given leaves the project's configuration alone."""

    enable: bool = True
    config_file: str | None = None
    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    extend_select: tuple[str, ...] = ()
    extend_ignore: tuple[str, ...] = ()
    min_confidence: Confidence | None = None
    scope: Literal["openFiles", "workspace"] = "openFiles"
    unsafe_fixes: bool = True
    code_lens: bool = True


def read(given: object) -> Options:
    """Options out of what a client sent, which may nest them under ``settings`` or the section's name.

    Raises:
        ValueError: something in it is not what it should be; the message is one line.
    """
    values = given if isinstance(given, Mapping) else {}
    for key in ("settings", "nograd-lint", "nogradLint"):
        inner = values.get(key)
        if isinstance(inner, Mapping):
            values = inner
    known = {field.encode_name for field in msgspec.structs.fields(Options)}
    chosen: dict[str, Any] = {key: value for key, value in values.items() if key in known and value is not None}
    try:
        return msgspec.convert(chosen, Options)
    except msgspec.ValidationError as error:
        raise ValueError(f"nograd-lint settings: {error}") from None
