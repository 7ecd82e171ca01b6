"""Where a project begins, and which configuration holds for a file.

The root's configuration shapes the analysis of the whole project; one that lies nearer to a file only changes what is
reported for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from nograd_lint.settings import (
    ANALYSIS_FIELDS,
    ConfigError,
    Confirm,
    ConfirmTarget,
    Format,
    Guard,
    Mode,
    Rules,
    Selection,
    Settings,
    check_selectors,
    did_you_mean,
    enabled_rules,
    ignored_in_file,
    relative_to_base,
)

TABLE = "nograd-lint"
_MARKERS = ("pyproject.toml", ".git")
_SETUP = ("setup.py", "setup.cfg")


class Root(msgspec.Struct, frozen=True):
    """Where a project begins; ``alone`` is set where a file belongs to no project but itself."""

    path: Path
    alone: Path | None = None


class Configuration(msgspec.Struct, frozen=True):
    """Settings, the file that they come from (None: built in), and the directory that its patterns are relative to."""

    settings: Settings
    base: Path
    file: Path | None = None


# --- finding ----------------------------------------------------------------------------------------------------------


def _homes() -> tuple[Path, ...]:
    try:
        return Path.home(), Path.home().resolve()
    except (RuntimeError, OSError):
        return ()


def _upwards(directory: Path, top: Path | None = None) -> Iterator[Path]:
    """The directory and those above it, as far as the home directory or the file system's root (both left out).

    ``top`` is the last one in any case.
    """
    homes = _homes()
    for candidate in (directory, *directory.parents):
        if candidate in homes or candidate == candidate.parent:
            return
        yield candidate
        if candidate == top:
            return


def project_root(directory: Path, top: Path | None = None) -> Path | None:
    """The root of the project that an absolute directory belongs to, if it belongs to one.

    ``top`` is one, whatever it holds.
    """
    for candidate in _upwards(directory, top):
        if candidate == top or any((candidate / marker).exists() for marker in _MARKERS):
            return candidate
        if any((candidate / marker).exists() for marker in _SETUP) and not (candidate / "__init__.py").is_file():
            return candidate  # inside a package, it is a module of that name
    package = None
    for candidate in _upwards(directory):
        if not (candidate / "__init__.py").is_file():
            break
        package = candidate
    return package


def find_root(path: Path, top: Path | None = None) -> Root:
    """The root of an absolute path, which may be a file or a directory."""
    directory = path if path.is_dir() else path.parent
    return _as_root(path, directory, project_root(directory, top))


def _as_root(path: Path, directory: Path, root: Path | None) -> Root:
    return Root(directory, None if path == directory else path) if root is None else Root(root)


def find_config(directory: Path, top: Path | None = None) -> Path | None:
    """The nearest configuration file, not beyond the repository that the directory lies in (``top`` is one)."""
    for candidate in _upwards(directory, top):
        own = candidate / f"{TABLE}.toml"
        if own.is_file():
            return own
        pyproject = candidate / "pyproject.toml"
        if pyproject.is_file() and _own_table(pyproject) is not None:
            return pyproject
        if (candidate / ".git").exists():
            break
    return None


# --- reading ----------------------------------------------------------------------------------------------------------


def _shown(path: Path) -> str:
    try:
        relative = path.relative_to(Path.cwd())
    except (ValueError, OSError):
        return path.as_posix()
    return relative.as_posix()


def _parse(text: str) -> dict[str, Any]:
    return msgspec.toml.decode(text, type=dict[str, Any])


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return _parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(_shown(path), (error.strerror or str(error)).lower()) from None
    except UnicodeDecodeError:
        raise ConfigError(_shown(path), "not UTF-8") from None
    except (msgspec.DecodeError, RecursionError) as error:
        reason = str(error).partition("\n")[0] or "nested too deeply"
        raise ConfigError(_shown(path), f"not valid TOML: {reason}") from None


def _own_table(pyproject: Path) -> dict[str, Any] | None:
    """``[tool.nograd-lint]``; a file that does not name it is not parsed, so that its errors do not matter here."""
    try:
        if TABLE.encode() not in pyproject.read_bytes():
            return None
    except OSError as error:
        raise ConfigError(_shown(pyproject), (error.strerror or str(error)).lower()) from None
    tool = _read_toml(pyproject).get("tool")
    table = tool.get(TABLE) if isinstance(tool, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise ConfigError(_shown(pyproject), f"`tool.{TABLE}` must be a table")
    return table


def load(path: Path, rules: Rules | None = None) -> Settings:
    """The settings in a configuration file; with ``rules``, selectors of unknown rules are errors, too."""
    if path.name == "pyproject.toml":
        table = _own_table(path) or {}
    else:
        table = _read_toml(path)
        tool = table.get("tool")
        if isinstance(tool, dict) and isinstance(tool.get(TABLE), dict):
            table = tool[TABLE]
    return settings_from(table, _shown(path), path.parent, rules)


def settings_from(table: Mapping[str, Any], filename: str, directory: Path, rules: Rules | None = None) -> Settings:
    """Check a table; ``directory`` is what the paths in it are relative to."""
    _check_keys(table, Settings, "", filename)
    try:
        settings = msgspec.convert(table, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(filename, _explain(str(error))) from None
    for number, target in enumerate(settings.confirm.target):
        if target.diagnostic is target.code is target.file is None:
            raise ConfigError(filename, f"`confirm.target[{number}]`: one of `diagnostic`, `code` and `file` is needed")
    for name in settings.knowledge:
        if not (directory / name).is_file():
            raise ConfigError(filename, f"`knowledge`: file not found: {name}")
    if rules is not None:
        check_selectors(settings, rules, filename)
    return msgspec.structs.replace(
        settings,
        knowledge=tuple(str((directory / name).resolve()) for name in settings.knowledge),
        baseline=settings.baseline and str((directory / settings.baseline).resolve()),
        cache_dir=settings.cache_dir and str((directory / settings.cache_dir).resolve()),
    )


_TABLES: dict[str, type[msgspec.Struct]] = {"guards": Guard, "confirm": Confirm, "target": ConfirmTarget}


def _check_keys(table: Mapping[str, Any], kind: type[msgspec.Struct], where: str, filename: str) -> None:
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for key, value in table.items():
        if key not in known:
            raise ConfigError(filename, f"unknown key `{where}{key}`{did_you_mean(key, known)}")
        nested = _TABLES.get(key)
        if nested is None:
            continue
        if isinstance(value, dict):
            _check_keys(value, nested, f"{where}{key}.", filename)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, dict):
                    _check_keys(item, nested, f"{where}{key}[{number}].", filename)


_CHOICES: dict[str, tuple[str, ...]] = {
    "min-confidence": ("high", "medium", "low"),
    "fail-on": ("info", "warning", "error"),
    "output-format": get_args(Format),
    "mode": get_args(Mode),
}


_WORDS = {"array": "a list", "object": "a table", "str": "a string", "int": "an integer", "bool": "true or false"}


def _explain(message: str) -> str:
    """A validation error of msgspec's in the words of TOML."""
    reason, _, path = message.partition(" - at `$")
    key = path.rstrip("`").removeprefix(".")
    reason = reason[:1].lower() + reason[1:]
    reason = reason.replace(" | null", "").replace("object missing", "missing")
    for name, word in _WORDS.items():
        reason = reason.replace(f"`{name}`", word)
    choices = _CHOICES.get(key.rpartition(".")[2])
    if reason.startswith("invalid enum value") and choices:
        value = reason.removeprefix("invalid enum value ").strip("'")
        reason = f"{value!r} is none of {', '.join(choices)}{did_you_mean(value, choices)}"
    if "matching regex" in reason:
        reason = 'expected a version such as "2.0"'
    return f"`{key}`: {reason}"


# --- the PyTorch that a project supports -----------------------------------------------------------------------------

_REQUIREMENT = re.compile(
    r"""(?:^|[\s"'])torch[ \t]*(?:\[[^\]\n]*\])?[ \t]*\(?[ \t]*(?P<spec>(?:[<>]|[=!~]=)[^;"'\n)]*)""", re.IGNORECASE
)
_LOWER = re.compile(r"(?:===?|>=?|~=)\s*v?(\d+(?:\.\d+)*)")
_POETRY = re.compile(r"[\^~=>]*\s*v?(\d+(?:\.\d+)*)")


def target_torch(root: Path) -> str | None:
    """The lower bound of the project's own requirement on PyTorch, if it has one."""
    found = _from_pyproject(root / "pyproject.toml")
    for files in ([root / "setup.cfg"], [root / "setup.py"], sorted(root.glob("requirements*.txt"))):
        found = found or [bound for file in files for bound in _bounds(_text(file))]
    return min(found, key=_version, default=None)


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _bounds(text: str) -> list[str]:
    return [
        bound
        for line in text.splitlines()
        for match in _REQUIREMENT.finditer(line.partition("#")[0])
        for bound in _LOWER.findall(match["spec"])[:1]
    ]


def _from_pyproject(path: Path) -> list[str]:
    if "torch" not in (text := _text(path)):
        return []
    try:
        data = _parse(text)
    except (msgspec.DecodeError, RecursionError):
        return []
    project = _table(data.get("project"))
    lists = [project.get("dependencies"), *_table(project.get("optional-dependencies")).values()]
    lines = [line for requirements in lists if isinstance(requirements, list) for line in requirements]
    found = _bounds("\n".join(filter(lambda line: isinstance(line, str), lines)))
    poetry = _table(_table(data.get("tool")).get("poetry"))
    wanted = _table(poetry.get("dependencies")).get("torch")
    if isinstance(wanted, dict):
        wanted = wanted.get("version")
    if isinstance(wanted, str) and (match := _POETRY.match(wanted)):
        found.append(match[1])
    return found


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# --- for a run --------------------------------------------------------------------------------------------------------


class Resolver:
    """Roots and configurations for the files of a run, each looked up once per directory.

    ``overrides`` are fields of :class:`Settings` given on the command line, ``selection`` its rule selectors; ``top``
    is a directory that is a project, and looked at without regard to what lies above it.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        config: Path | None = None,
        isolated: bool = False,
        overrides: Mapping[str, object] | None = None,
        selection: Selection | None = None,
        top: Path | None = None,
    ) -> None:
        self.rules = rules
        self._top = top
        self.selection = selection
        self._isolated = isolated
        self._overrides: dict[str, Any] = dict(overrides or {})
        self._given = None if config is None else (config.resolve(), self._load(config))
        self._configs: dict[Path, Path | None] = {}
        self._settings: dict[Path, Settings] = {}
        self._roots: dict[Path, Path | None] = {}
        self._analysis: dict[Root, Settings] = {}
        self._enabled: dict[Path | None, frozenset[str]] = {}
        if selection is not None:
            check_selectors(selection, rules, "command line")
        check_selectors(Settings(**self._overrides), rules, "command line")

    def _load(self, path: Path) -> Settings:
        return msgspec.structs.replace(load(path, self.rules), **self._overrides)

    def root(self, path: Path) -> Root:
        """The root of an absolute path."""
        directory = path if path.is_dir() else path.parent
        if directory not in self._roots:
            self._roots[directory] = project_root(directory, self._top)
        return _as_root(path, directory, self._roots[directory])

    def nearest(self, directory: Path) -> Configuration:
        """What the nearest configuration file says, for an absolute directory."""
        if self._given is not None:
            return Configuration(self._given[1], find_root(directory, self._top).path, self._given[0])
        if directory not in self._configs:
            self._configs[directory] = None if self._isolated else find_config(directory, self._top)
        file = self._configs[directory]
        if file is None:
            return Configuration(msgspec.structs.replace(Settings(), **self._overrides), self.root(directory).path)
        if file not in self._settings:
            self._settings[file] = self._load(file)
        return Configuration(self._settings[file], file.parent, file)

    def analysis(self, root: Root) -> Settings:
        """The settings that shape the analysis of a project, ``target_torch`` filled in where the project says it."""
        if root not in self._analysis:
            settings = self.nearest(root.path).settings
            if settings.target_torch is None and root.alone is None:
                settings = msgspec.structs.replace(settings, target_torch=target_torch(root.path))
            self._analysis[root] = settings
        return self._analysis[root]

    def configuration(self, path: Path) -> Configuration:
        """What holds for a file: the nearest configuration, with the analysis as the root has it."""
        nearest = self.nearest(path.parent)
        analysis = self.analysis(self.root(path))
        shared = {name: getattr(analysis, name) for name in ANALYSIS_FIELDS}
        return msgspec.structs.replace(nearest, settings=msgspec.structs.replace(nearest.settings, **shared))

    def enabled(self, path: Path) -> frozenset[str]:
        """The codes that are on for a file."""
        nearest = self.nearest(path.parent)
        if nearest.file not in self._enabled:
            self._enabled[nearest.file] = enabled_rules(nearest.settings, self.rules, self.selection)
        codes = self._enabled[nearest.file]
        if not nearest.settings.per_file_ignores:
            return codes
        return codes - ignored_in_file(relative_to_base(path, nearest.base), nearest.settings, self.rules)
