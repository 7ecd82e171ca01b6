"""Everything that configures a run, and which rules it turns on where.

The keys of ``[tool.nograd-lint]`` are the fields of :class:`Settings` in kebab-case; the description of each field is
its documentation. Rules are known here only as a mapping from code to (name, on by default).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from nograd_lint.diagnostics import Applicability, Confidence, Diagnostic, Severity

Rules = Mapping[str, tuple[str, bool]]

Format = Literal["text", "concise", "json", "json-lines", "sarif", "github", "gitlab", "junit"]
Mode = Literal["no_grad", "inference_mode", "enable_grad", "set_grad_enabled"]

DEFAULT_EXCLUDE = (
    ".bzr", ".direnv", ".eggs", ".git", ".hg", ".ipynb_checkpoints", ".mypy_cache", ".nograd_lint_cache", ".nox",
    ".pytest_cache", ".ruff_cache", ".svn", ".tox", ".venv", ".vscode", "__pycache__", "__pypackages__", "_build",
    "build", "dist", "node_modules", "site-packages", "venv",
)  # fmt: skip


class ConfigError(Exception):
    """A configuration that cannot be used; ``str()`` is one line naming the file and the reason."""

    def __init__(self, filename: str, reason: str) -> None:
        super().__init__(f"{filename}: {reason}")
        self.filename = filename
        self.reason = reason


class Guard(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """A function or class of the project that changes grad mode as one of PyTorch's own does."""

    name: Annotated[str, Meta(description="Dotted name, as it would be imported: `mylib.utils.evaluating`.")]
    mode: Annotated[Mode, Meta(description="The guard of PyTorch that it acts like.")] = "no_grad"


class ConfirmTarget(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """How `nograd-lint confirm` reaches code that the user's command does not run."""

    factory: Annotated[str, Meta(description="`package.module:function`; returns a callable without arguments.")]
    diagnostic: Annotated[str | None, Meta(description="Fingerprint of the diagnostic that it is for.")] = None
    code: Annotated[str | None, Meta(description="Code or name of the rule that it is for.")] = None
    file: Annotated[str | None, Meta(description="File that it is for, relative to the project's root.")] = None


class Confirm(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """`[tool.nograd-lint.confirm]`."""

    target: Annotated[
        tuple[ConfirmTarget, ...],
        Meta(description="Entry points for code that no command runs, each a `[[tool.nograd-lint.confirm.target]]`."),
    ] = ()


class Selection(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """Rule selectors of one source. A selector is a code, the beginning of one, a rule's name, or `ALL`."""

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    extend_select: tuple[str, ...] = ()
    extend_ignore: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """What one run or one directory is configured to do."""

    select: Annotated[
        tuple[str, ...] | None,
        Meta(description="Rules to turn on: codes, beginnings of codes, names, or `ALL`. Unset: the default rules."),
    ] = None
    ignore: Annotated[
        tuple[str, ...],
        Meta(description="Rules to turn off. The most specific selector decides; of two equal ones, `ignore`."),
    ] = ()
    extend_select: Annotated[tuple[str, ...], Meta(description="Rules to turn on beside those of `select`.")] = ()
    extend_ignore: Annotated[tuple[str, ...], Meta(description="Rules to turn off beside those of `ignore`.")] = ()
    per_file_ignores: Annotated[
        dict[str, tuple[str, ...]],
        Meta(
            description="Rules to turn off in some files: a .gitignore pattern (`!` in front: all other files), "
            "and a list of selectors."
        ),
    ] = msgspec.field(default_factory=dict)
    exclude: Annotated[
        tuple[str, ...],
        Meta(description="Files and directories to leave out, as .gitignore patterns. Replaces the built-in list."),
    ] = DEFAULT_EXCLUDE
    extend_exclude: Annotated[
        tuple[str, ...], Meta(description="Files and directories to leave out beside those of `exclude`.")
    ] = ()
    force_exclude: Annotated[
        bool, Meta(description="Leave excluded files out even where they are named on the command line.")
    ] = False
    respect_gitignore: Annotated[
        bool, Meta(description="Leave out what .gitignore files and .git/info/exclude name.")
    ] = True
    min_confidence: Annotated[
        Confidence, Meta(description="Report diagnostics from this confidence on: `high`, `medium` or `low`.")
    ] = Confidence.MEDIUM
    fail_on: Annotated[
        Severity, Meta(description="Exit with 1 from this severity on: `info`, `warning` or `error`.")
    ] = Severity.INFO
    output_format: Annotated[Format, Meta(description="How diagnostics are printed.")] = "text"
    target_torch: Annotated[
        Annotated[str, Meta(pattern=r"^\d+(\.\d+)*$")] | None,
        Meta(
            description="Oldest PyTorch that the project supports, such as `2.0`. Unset: read from the project's own "
            "requirement, else the newest."
        ),
    ] = None
    jobs: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Worker processes. Unset: as many as there are CPUs."),
    ] = None
    cache_dir: Annotated[
        str | None, Meta(description="Where to keep the cache. Unset: `.nograd_lint_cache` in the project's root.")
    ] = None
    guards: Annotated[
        tuple[Guard, ...],
        Meta(description="Functions of your own that change grad mode out of sight of the analysis: name and mode."),
    ] = ()
    models: Annotated[
        tuple[str, ...], Meta(description="Dotted names of functions of your own that return a model.")
    ] = ()
    knowledge: Annotated[
        tuple[str, ...], Meta(description="TOML files that describe further frameworks, beside the built-in ones.")
    ] = ()
    fixable: Annotated[tuple[str, ...], Meta(description="Rules whose fixes may be applied.")] = ("ALL",)
    unfixable: Annotated[tuple[str, ...], Meta(description="Rules whose fixes are never applied.")] = ()
    extend_safe_fixes: Annotated[
        tuple[str, ...], Meta(description="Rules whose unsafe fixes are to be taken for safe ones.")
    ] = ()
    extend_unsafe_fixes: Annotated[
        tuple[str, ...], Meta(description="Rules whose safe fixes are to be taken for unsafe ones.")
    ] = ()
    baseline: Annotated[str | None, Meta(description="Baseline file; the diagnostics in it are not reported.")] = None
    markdown: Annotated[bool, Meta(description="Lint the fenced Python blocks of Markdown files, too.")] = False
    confirm: Annotated[Confirm, Meta(description="Settings of `nograd-lint confirm`.")] = Confirm()

    @property
    def allowed_fixes(self) -> tuple[tuple[str, ...], ...]:
        """All that :func:`fix_applicability` goes by."""
        return self.fixable, self.unfixable, self.extend_safe_fixes, self.extend_unsafe_fixes

    def selection(self) -> Selection:
        return Selection(
            select=self.select, ignore=self.ignore, extend_select=self.extend_select, extend_ignore=self.extend_ignore
        )


# What shapes the analysis of a whole project is read from its root alone (see nograd_lint.config).
ANALYSIS_FIELDS = ("guards", "models", "knowledge", "target_torch")
# What decides how a run goes, rather than what is reported about a file.
RUN_FIELDS = ("output_format", "fail_on", "jobs", "cache_dir", "baseline", "confirm")


class FieldDoc(msgspec.Struct, frozen=True):
    """A key of the configuration, for the reference and for ``nograd-lint config``."""

    key: str
    type: str
    default: object
    description: str
    scope: Literal["analysis", "run", "report"]


def field_docs() -> list[FieldDoc]:
    """All keys in the order of their declaration."""
    from typing import get_type_hints

    hints = get_type_hints(Settings)
    annotated = get_type_hints(Settings, include_extras=True)
    docs = []
    for field in msgspec.structs.fields(Settings):
        default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        scope: Literal["analysis", "run", "report"] = "report"
        if field.name in ANALYSIS_FIELDS:
            scope = "analysis"
        elif field.name in RUN_FIELDS:
            scope = "run"
        kind, value = _toml_type(hints[field.name]), msgspec.to_builtins(default)
        docs.append(FieldDoc(field.encode_name, kind, value, annotated[field.name].__metadata__[0].description, scope))
    return docs


_TOML_TYPES: dict[object, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    tuple[str, ...]: "list of strings",
    dict[str, tuple[str, ...]]: "table of lists of strings",
    Confirm: "table",
}


def _toml_type(hint: Any) -> str:
    options = [option for option in get_args(hint) if option is not type(None)]
    if type(None) in get_args(hint):
        [hint] = options
    if isinstance(hint, type) and issubclass(hint, Enum):
        options = [member.value for member in hint]
    if hint in _TOML_TYPES:
        return _TOML_TYPES[hint]
    return " | ".join(f'"{option}"' for option in options) if isinstance(options[0], str) else "list of tables"


# --- selectors --------------------------------------------------------------------------------------------------------


def expand(selector: str, rules: Rules) -> frozenset[str]:
    """The codes that a selector stands for; none where nothing is known by it."""
    if selector == "ALL":
        return frozenset(rules)
    if selector in rules:
        return frozenset((selector,))
    named = frozenset(code for code, (name, _) in rules.items() if name == selector)
    if named or not selector.startswith("NGL"):
        return named
    return frozenset(code for code in rules if code.startswith(selector))


def _specificity(selector: str, rules: Rules) -> int:
    if selector == "ALL":
        return 0
    named = any(name == selector for name, _ in rules.values())
    return len(max(rules, key=len, default="")) if named else len(selector)


def _decide(chosen: set[str], on: Iterable[str], off: Iterable[str], rules: Rules) -> set[str]:
    """Apply selectors from the broadest to the most specific; of equal ones ``off`` comes last and wins."""
    steps = [(_specificity(s, rules), 0, s) for s in on] + [(_specificity(s, rules), 1, s) for s in off]
    for _, turn_off, selector in sorted(steps):
        codes = expand(selector, rules)
        chosen = chosen - codes if turn_off else chosen | codes
    return chosen


def enabled_rules(settings: Settings, rules: Rules, command_line: Selection | None = None) -> frozenset[str]:
    """The codes that are on.

    A ``select`` given on the command line replaces the configured selection, but what the configuration ignores by a
    more specific selector stays ignored; the other command-line selectors adjust what the configuration chose.
    """
    configured = settings.selection()
    ignored = (*configured.ignore, *configured.extend_ignore)
    extra = command_line or Selection()
    on, off = extra.extend_select, (*extra.ignore, *extra.extend_ignore)
    if extra.select is not None:
        asked = set(extra.select)
        kept = [i for i in ignored if i not in asked and not any(expand(i, rules) == expand(s, rules) for s in asked)]
        return frozenset(_decide(set(), (*extra.select, *on), (*kept, *off), rules))
    chosen = {code for code, (_, default) in rules.items() if default} if configured.select is None else set()
    chosen = _decide(chosen, (*(configured.select or ()), *configured.extend_select), ignored, rules)
    return frozenset(_decide(chosen, on, off, rules))


def ignored_in_file(path: str, settings: Settings, rules: Rules) -> frozenset[str]:
    """The codes that ``per-file-ignores`` turns off; ``path`` is relative to the configuration, with ``/``."""
    codes: set[str] = set()
    for pattern, selectors in settings.per_file_ignores.items():
        negated = pattern.startswith("!")
        if _matches(pattern.lstrip("!"), path) != negated:
            for selector in selectors:
                codes |= expand(selector, rules)
    return frozenset(codes)


def is_enabled(code: str, path: str, settings: Settings, rules: Rules, command_line: Selection | None = None) -> bool:
    """Whether a rule is on for a file, whose path is relative to the configuration, with ``/``."""
    return code in enabled_rules(settings, rules, command_line) and code not in ignored_in_file(path, settings, rules)


@lru_cache(maxsize=256)
def _matches(pattern: str, path: str) -> bool:
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines([pattern]).match_file(path)


def fix_applicability(code: str, declared: Applicability, settings: Settings, rules: Rules) -> Applicability | None:
    """How a fix of the rule may be used here; None where the configuration forbids it."""
    if code not in _decide(set(), settings.fixable, settings.unfixable, rules):
        return None
    if declared is Applicability.DISPLAY:
        return declared
    promoted = _decide(set(), settings.extend_safe_fixes, (), rules)
    demoted = _decide(set(), settings.extend_unsafe_fixes, (), rules)
    if code in promoted and code in demoted:
        return declared
    if code in promoted:
        return Applicability.SAFE
    return Applicability.UNSAFE if code in demoted else declared


def with_allowed_fix(diagnostic: Diagnostic, settings: Settings, rules: Rules) -> Diagnostic:
    """The diagnostic with its fix as the configuration has it: forbidden, promoted, demoted or as it is."""
    fix = diagnostic.fix
    if fix is None:
        return diagnostic
    how = fix_applicability(diagnostic.code, fix.applicability, settings, rules)
    if how is fix.applicability:
        return diagnostic
    allowed = None
    if how is not None:
        message = f"{fix.message}; {how.value} by configuration"
        allowed = msgspec.structs.replace(fix, applicability=how, message=message)
    return msgspec.structs.replace(diagnostic, fix=allowed)


def check_selectors(selection: Settings | Selection, rules: Rules, filename: str) -> None:
    """Raise :class:`ConfigError` for a selector that stands for no rule."""
    lists: list[tuple[str, tuple[str, ...]]] = []
    for field in msgspec.structs.fields(type(selection)):
        value = getattr(selection, field.name)
        if field.name == "per_file_ignores":
            lists += [(f"{field.encode_name}.{pattern}", codes) for pattern, codes in value.items()]
        elif field.name in _SELECTOR_FIELDS and value:
            lists.append((field.encode_name, value))
    for key, selectors in lists:
        for selector in selectors:
            if not expand(selector, rules):
                known = [*rules, *(name for name, _ in rules.values()), "ALL"]
                raise ConfigError(filename, f"`{key}`: unknown rule `{selector}`{did_you_mean(selector, known)}")


_SELECTOR_FIELDS = (
    "select", "ignore", "extend_select", "extend_ignore", "fixable", "unfixable", "extend_safe_fixes",
    "extend_unsafe_fixes",
)  # fmt: skip


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean `…`?`` where something known is spelt nearly so, else nothing."""
    from difflib import get_close_matches

    known = list(known)
    folded = {k.lower(): k for k in known}
    near = get_close_matches(word.lower().replace("_", "-"), folded, n=1, cutoff=0.6)
    return f"; did you mean `{folded[near[0]]}`?" if near else ""


def relative_to_base(path: str | os.PathLike[str], base: str | os.PathLike[str]) -> str:
    """``path`` as patterns see it: relative to ``base`` with ``/``, or whole where it lies elsewhere."""
    relative = os.path.relpath(path, base).replace(os.sep, "/")
    if relative == ".." or relative.startswith("../"):
        return os.fspath(path).replace(os.sep, "/").lstrip("/")
    return relative
