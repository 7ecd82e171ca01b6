from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nograd_lint.config import Resolver, Root, find_config, find_root, load, settings_from, target_torch
from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.settings import (
    ConfigError,
    ConfirmTarget,
    Guard,
    Selection,
    Settings,
    check_selectors,
    enabled_rules,
    expand,
    field_docs,
    fix_applicability,
    is_enabled,
    relative_to_base,
)

RULES = {
    "NGL101": ("tracked-evaluation", True),
    "NGL102": ("tracked-validation-phase", True),
    "NGL105": ("tracked-frozen-forward", False),
    "NGL301": ("discarded-guard", True),
    "NGL501": ("prefer-inference-mode", False),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a repository around the temporary directory nor the real home directory plays a part."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refused(text: str) -> str:
    """Why a ``nograd-lint.toml`` is refused."""
    file = write(Path("nograd-lint.toml").absolute(), text)
    with pytest.raises(ConfigError) as error:
        load(file, RULES)
    assert "\n" not in str(error.value)
    prefix = "nograd-lint.toml: "
    assert str(error.value).startswith(prefix)
    return str(error.value).removeprefix(prefix)


# --- the settings -----------------------------------------------------------------------------------------------------


def test_every_key_is_documented() -> None:
    docs = field_docs()
    assert [doc.key for doc in docs] == [field.encode_name for field in msgspec.structs.fields(Settings)]
    for doc in docs:
        assert doc.description.endswith(".")
        assert doc.type
    by_key = {doc.key: doc for doc in docs}
    assert (by_key["min-confidence"].type, by_key["min-confidence"].default) == ('"high" | "medium" | "low"', "medium")
    assert (by_key["guards"].type, by_key["guards"].scope) == ("list of tables", "analysis")
    assert (by_key["jobs"].type, by_key["jobs"].scope) == ("integer", "run")
    assert by_key["select"].scope == "report"


def test_all_keys_are_read(tmp_path: Path) -> None:
    write(tmp_path / "p" / "k.toml")
    file = write(
        tmp_path / "p" / "pyproject.toml",
        """
        [tool.nograd-lint]
        select = ["ALL"]
        ignore = ["NGL501"]
        extend-select = ["prefer-inference-mode"]
        extend-ignore = ["NGL3"]
        exclude = ["a"]
        extend-exclude = ["b"]
        force-exclude = true
        respect-gitignore = false
        min-confidence = "low"
        fail-on = "error"
        output-format = "json"
        target-torch = "2.1"
        jobs = 3
        cache-dir = "c"
        guards = [{ name = "lib.evaluating" }, { name = "lib.fast", mode = "inference_mode" }]
        models = ["lib.make"]
        knowledge = ["k.toml"]
        fixable = ["NGL1"]
        unfixable = ["NGL105"]
        extend-safe-fixes = ["NGL101"]
        extend-unsafe-fixes = ["NGL102"]
        baseline = "base.json"
        markdown = true
        [tool.nograd-lint.per-file-ignores]
        "tests/*" = ["NGL101"]
        [[tool.nograd-lint.confirm.target]]
        code = "NGL101"
        factory = "pkg.mod:make"
        """,
    )
    settings = load(file, RULES)
    assert {field.name for field in msgspec.structs.fields(Settings)} == {
        field.name
        for field in msgspec.structs.fields(Settings)
        if getattr(settings, field.name) != getattr(Settings(), field.name)
    }
    assert (settings.min_confidence, settings.fail_on) == (Confidence.LOW, Severity.ERROR)
    assert settings.guards == (Guard(name="lib.evaluating"), Guard(name="lib.fast", mode="inference_mode"))
    assert settings.confirm.target == (ConfirmTarget(factory="pkg.mod:make", code="NGL101"),)
    assert settings.per_file_ignores == {"tests/*": ("NGL101",)}
    # Paths are relative to the file that names them.
    directory = tmp_path / "p"
    assert settings.knowledge == (str(directory / "k.toml"),)
    assert (settings.baseline, settings.cache_dir) == (str(directory / "base.json"), str(directory / "c"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('selct = ["ALL"]', "unknown key `selct`; did you mean `select`?"),
        ("min_confidence = 'low'", "unknown key `min_confidence`; did you mean `min-confidence`?"),
        ("xyzzy = 1", "unknown key `xyzzy`"),
        ('guards = [{ nam = "x" }]', "unknown key `guards[0].nam`; did you mean `name`?"),
        ('[[confirm.target]]\nfactroy = "x"', "unknown key `confirm.target[0].factroy`; did you mean `factory`?"),
        ('[[confirm.target]]\nfactory = "x"', "`confirm.target[0]`: one of `diagnostic`, `code` and `file` is needed"),
        ('guards = [{ mode = "no_grad" }]', "`guards[0]`: missing required field `name`"),
        ('guards = [{ name = "x", mode = "nograd" }]', "did you mean `no_grad`?"),
        ("force-exclude = 1", "`force-exclude`: expected true or false, got an integer"),
        ('select = "NGL101"', "`select`: expected a list, got a string"),
        ("per-file-ignores = []", "`per-file-ignores`: expected a table, got a list"),
        ("jobs = 0", "`jobs`: expected an integer >= 1"),
        ('min-confidence = "hig"', "`min-confidence`: 'hig' is none of high, medium, low; did you mean `high`?"),
        ('output-format = "jsn"', "did you mean `json`?"),
        ('target-torch = "two"', '`target-torch`: expected a version such as "2.0"'),
        ('knowledge = ["gone.toml"]', "`knowledge`: file not found: gone.toml"),
        ('select = ["NGL111"]', "`select`: unknown rule `NGL111`; did you mean `NGL101`?"),
        (
            'ignore = ["tracked-evalution"]',
            "`ignore`: unknown rule `tracked-evalution`; did you mean `tracked-evaluation`?",
        ),
        ('[per-file-ignores]\n"a.py" = ["E501"]', "`per-file-ignores.a.py`: unknown rule `E501`"),
        ("select = [", "not valid TOML: "),
        ("a = " + "[" * 5000, "not valid TOML: "),
    ],
)
def test_mistakes_are_explained_in_a_line(text: str, reason: str) -> None:
    assert reason in refused(text)


def test_unreadable_configurations(tmp_path: Path) -> None:
    file = tmp_path / "nograd-lint.toml"
    with pytest.raises(ConfigError, match=r"nograd-lint\.toml: no such file or directory"):
        load(file)
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(file)
    file.write_bytes(b"\xef\xbb\xbfmarkdown = true\n")
    assert load(file).markdown


def test_a_configuration_of_any_name(tmp_path: Path) -> None:
    assert load(write(tmp_path / "own.toml", "[tool.nograd-lint]\nmarkdown = true\n")).markdown
    assert load(write(tmp_path / "flat.toml", "markdown = true\n")).markdown


# --- which rules ------------------------------------------------------------------------------------------------------

DEFAULT = {code for code, (_, on) in RULES.items() if on}


@pytest.mark.parametrize(
    ("keys", "codes"),
    [
        ({}, DEFAULT),
        ({"select": ["ALL"]}, set(RULES)),
        ({"select": []}, set()),
        ({"select": ["NGL1"]}, {"NGL101", "NGL102", "NGL105"}),
        ({"select": ["discarded-guard"]}, {"NGL301"}),
        ({"extend-select": ["NGL501"]}, DEFAULT | {"NGL501"}),
        ({"ignore": ["NGL1"]}, {"NGL301"}),
        ({"extend-ignore": ["NGL301"], "ignore": ["NGL101"]}, {"NGL102"}),
        # The most specific selector decides, of equal ones `ignore`.
        ({"select": ["NGL101"], "ignore": ["NGL1"]}, {"NGL101"}),
        ({"select": ["NGL10"], "ignore": ["NGL1"]}, {"NGL101", "NGL102", "NGL105"}),
        ({"select": ["NGL1"], "ignore": ["tracked-evaluation"]}, {"NGL102", "NGL105"}),
        ({"select": ["tracked-evaluation"], "ignore": ["NGL1", "ALL"]}, {"NGL101"}),
        ({"select": ["NGL1"], "ignore": ["NGL1"]}, set()),
        ({"select": ["ALL"], "ignore": ["NGL"], "extend-select": ["NGL3"]}, {"NGL301"}),
    ],
)
def test_selection(keys: dict[str, list[str]], codes: set[str]) -> None:
    settings = settings_from(keys, "f", Path(), RULES)
    assert enabled_rules(settings, RULES) == codes


@pytest.mark.parametrize(
    ("keys", "line", "codes"),
    [
        ({"select": ["NGL3"]}, Selection(select=("NGL1",)), {"NGL101", "NGL102", "NGL105"}),
        # What is ignored by a more specific selector than it is asked for stays ignored.
        ({"ignore": ["NGL102"]}, Selection(select=("NGL1",)), {"NGL101", "NGL105"}),
        ({"ignore": ["NGL102"]}, Selection(select=("NGL102",)), {"NGL102"}),
        ({"ignore": ["NGL102"]}, Selection(select=("tracked-validation-phase",)), {"NGL102"}),
        ({"ignore": ["NGL1"]}, Selection(select=("NGL102",)), {"NGL102"}),
        # The rest adjusts what is configured, and has the last word.
        ({"select": ["NGL101", "NGL301"]}, Selection(ignore=("NGL1",)), {"NGL301"}),
        ({"ignore": ["NGL1"]}, Selection(ignore=("NGL3",)), set()),
        ({"ignore": ["NGL101"]}, Selection(extend_select=("NGL1",)), set(RULES) - {"NGL501"}),
        ({}, Selection(select=("ALL",), extend_ignore=("NGL5",)), set(RULES) - {"NGL501"}),
    ],
)
def test_selection_on_the_command_line(keys: dict[str, list[str]], line: Selection, codes: set[str]) -> None:
    assert enabled_rules(settings_from(keys, "f", Path(), RULES), RULES, line) == codes


@given(
    st.lists(st.sampled_from([*RULES, "ALL", "NGL", "NGL1", "NGL3", "discarded-guard"]), max_size=4),
    st.lists(st.sampled_from([*RULES, "ALL", "NGL", "NGL1", "NGL3", "discarded-guard"]), max_size=4),
)
def test_the_order_of_selectors_does_not_matter(select: list[str], ignore: list[str]) -> None:
    one = enabled_rules(Settings(select=tuple(select), ignore=tuple(ignore)), RULES)
    other = enabled_rules(Settings(select=tuple(select[::-1]), ignore=tuple(ignore[::-1])), RULES)
    assert one == other
    assert one <= set().union(*(expand(selector, RULES) for selector in select))


def test_unknown_selectors_on_the_command_line() -> None:
    with pytest.raises(ConfigError, match="command line: `select`: unknown rule `NGL1O1`; did you mean `NGL101`"):
        Resolver(RULES, selection=Selection(select=("NGL1O1",)))
    with pytest.raises(ConfigError, match=r"command line: `per-file-ignores.*`: unknown rule `E501`"):
        Resolver(RULES, overrides={"per_file_ignores": {"a.py": ("E501",)}})
    check_selectors(Selection(select=("NGL3", "ALL"), ignore=("tracked-evaluation",)), RULES, "f")


@pytest.mark.parametrize(
    ("pattern", "path", "on"),
    [
        ("tests/*", "tests/a.py", False),
        ("tests/*", "src/tests/a.py", True),
        ("tests", "src/tests/b/a.py", False),
        ("*_test.py", "x/a_test.py", False),
        ("/a.py", "x/a.py", True),
        ("!src/", "src/a.py", True),
        ("!src/", "other/a.py", False),
    ],
)
def test_per_file_ignores(pattern: str, path: str, on: bool) -> None:
    settings = Settings(per_file_ignores={pattern: ("NGL1",)})
    assert is_enabled("NGL101", path, settings, RULES) is on
    assert is_enabled("NGL301", path, settings, RULES)
    assert not is_enabled("NGL501", path, settings, RULES)


def test_applicability_of_fixes() -> None:
    safe, unsafe, display = Applicability.SAFE, Applicability.UNSAFE, Applicability.DISPLAY
    settings = Settings(
        fixable=("NGL1",), unfixable=("NGL105",), extend_safe_fixes=("NGL101",), extend_unsafe_fixes=("NGL102",)
    )
    assert fix_applicability("NGL101", unsafe, settings, RULES) is safe
    assert fix_applicability("NGL101", display, settings, RULES) is display
    assert fix_applicability("NGL102", safe, settings, RULES) is unsafe
    assert fix_applicability("NGL105", safe, settings, RULES) is None
    assert fix_applicability("NGL301", safe, settings, RULES) is None
    assert fix_applicability("NGL301", safe, Settings(), RULES) is safe


def test_paths_as_patterns_see_them() -> None:
    assert relative_to_base("/a/b/c.py", "/a") == "b/c.py"
    assert relative_to_base("/x/c.py", "/a") == "x/c.py"


# --- roots ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("marker", ["pyproject.toml", "setup.py", "setup.cfg", ".git/HEAD"])
def test_the_nearest_marker_is_the_root(tmp_path: Path, marker: str) -> None:
    write(tmp_path / "outer" / "pyproject.toml")
    write(tmp_path / "outer" / "p" / marker)
    file = write(tmp_path / "outer" / "p" / "a" / "b" / "m.py")
    assert find_root(file) == find_root(file.parent) == Root(tmp_path / "outer" / "p")
    assert find_root(tmp_path / "outer") == Root(tmp_path / "outer")


def test_without_a_marker_it_is_the_package(tmp_path: Path) -> None:
    for directory in ("lib/pkg", "lib/pkg/sub"):
        write(tmp_path / directory / "__init__.py")
    file = write(tmp_path / "lib" / "pkg" / "sub" / "m.py")
    assert find_root(file) == Root(tmp_path / "lib" / "pkg")


def test_without_a_package_it_is_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / "scripts" / "m.py")
    other = write(tmp_path / "scripts" / "n.py")
    assert find_root(file) == Root(file.parent, file)
    assert find_root(file.parent) == Root(file.parent)
    resolver = Resolver(RULES)
    assert [resolver.root(path) for path in (file, other, file)] == [find_root(file), find_root(other), find_root(file)]


def test_the_home_directory_is_never_the_root(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[tool.nograd-lint]\nmarkdown = true\n")
    write(tmp_path / ".git" / "HEAD")
    write(tmp_path / "__init__.py")
    file = write(tmp_path / "m.py")
    assert find_root(file) == Root(tmp_path, file)
    assert find_config(tmp_path / "deep") is None
    assert find_root(Path("/m.py")) == Root(Path("/"), Path("/m.py"))


# --- configurations ---------------------------------------------------------------------------------------------------


def test_the_nearest_configuration(tmp_path: Path) -> None:
    top = write(tmp_path / "r" / "pyproject.toml", "[tool.nograd-lint]\n")
    write(tmp_path / "r" / "a" / "pyproject.toml", "[tool.other]\nx = 1\n")
    write(tmp_path / "r" / "a" / "broken" / "pyproject.toml", "[[[")
    assert find_config(tmp_path / "r" / "a" / "broken") == top
    own = write(tmp_path / "r" / "a" / "nograd-lint.toml")
    assert find_config(tmp_path / "r" / "a" / "b") == own
    write(tmp_path / "r" / "repository" / ".git" / "HEAD")
    assert find_config(tmp_path / "r" / "repository" / "x") is None


def test_nested_configuration_only_changes_what_is_reported(tmp_path: Path) -> None:
    root = tmp_path / "r"
    write(
        root / "pyproject.toml", "[tool.nograd-lint]\nmodels = ['a.make']\ntarget-torch = '2.1'\nignore = ['NGL101']\n"
    )
    write(root / "sub" / "nograd-lint.toml", "models = ['b.make']\nmin-confidence = 'low'\nignore = ['NGL102']\n")
    resolver = Resolver(RULES)
    nested = resolver.configuration(root / "sub" / "m.py")
    assert (nested.base, nested.file) == (root / "sub", root / "sub" / "nograd-lint.toml")
    assert (nested.settings.min_confidence, nested.settings.models) == (Confidence.LOW, ("a.make",))
    assert nested.settings.target_torch == "2.1"
    assert resolver.analysis(resolver.root(root / "sub" / "m.py")).models == ("a.make",)
    assert resolver.enabled(root / "sub" / "m.py") == {"NGL101", "NGL301"}
    assert resolver.enabled(root / "m.py") == {"NGL102", "NGL301"}


def test_per_file_ignores_are_relative_to_their_configuration(tmp_path: Path) -> None:
    write(tmp_path / "r" / "pyproject.toml", "[tool.nograd-lint.per-file-ignores]\n'/a/*' = ['ALL']\n")
    resolver = Resolver(RULES)
    assert resolver.enabled(tmp_path / "r" / "a" / "m.py") == set()
    assert resolver.enabled(tmp_path / "r" / "b" / "a" / "m.py") == DEFAULT


def test_a_given_configuration_holds_everywhere(tmp_path: Path) -> None:
    write(
        tmp_path / "r" / "pyproject.toml", "[tool.nograd-lint]\nignore = ['ALL']\n[tool.nograd-lint.per-file-ignores]\n"
    )
    given_file = write(tmp_path / "etc" / "own.toml", "select = ['NGL1']\n[per-file-ignores]\n'/sub/' = ['NGL101']\n")
    resolver = Resolver(RULES, config=Path(os.path.relpath(given_file)))
    assert resolver.enabled(tmp_path / "r" / "m.py") == {"NGL101", "NGL102", "NGL105"}
    assert resolver.enabled(tmp_path / "r" / "sub" / "m.py") == {"NGL102", "NGL105"}


def test_isolated_and_overrides(tmp_path: Path) -> None:
    file = write(tmp_path / "r" / "m.py")
    write(tmp_path / "r" / "nograd-lint.toml", "ignore = ['ALL']\nmin-confidence = 'high'\n")
    assert Resolver(RULES, isolated=True).enabled(file) == DEFAULT
    resolver = Resolver(RULES, overrides={"min_confidence": Confidence.LOW}, selection=Selection(select=("NGL3",)))
    assert resolver.configuration(file).settings.min_confidence is Confidence.LOW
    assert resolver.enabled(file) == {"NGL301"}


# --- the PyTorch that a project supports ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("pyproject.toml", '[project]\ndependencies = ["numpy>=1", "torch>=1.13,<3", "torchvision>=0.9"]', "1.13"),
        (
            "pyproject.toml",
            "[project.optional-dependencies]\nx = [\"torch[opt] ~= 2.0.1; python_version > '3'\"]",
            "2.0.1",
        ),
        ("pyproject.toml", '[project]\ndependencies = ["torch"]', None),
        (
            "pyproject.toml",
            '[project]\ndependencies = ["torch<2", "pytorch-lightning>=1.5", "torch-geometric>=1"]',
            None,
        ),
        ("pyproject.toml", '[tool.poetry.dependencies]\ntorch = "^2.1"', "2.1"),
        ("pyproject.toml", '[tool.poetry.dependencies]\ntorch = { version = ">=1.9,<2.0" }', "1.9"),
        ("pyproject.toml", "[project\ntorch", None),
        ("requirements.txt", "# torch>=1.0\nTorch==2.0.0+cu118  # pinned\n", "2.0.0"),
        ("requirements.txt", "torch>=2.2; python_version>='3.12'\ntorch>=1.13; python_version<'3.12'\n", "1.13"),
        ("requirements.txt", "torch (>=1.10.0)\ntorchaudio==0.1\n", "1.10.0"),
        ("setup.cfg", "[options]\ninstall_requires =\n    numpy\n    torch>=1.8\n", "1.8"),
        ("setup.py", "setup(install_requires=['torch>=1.4', \"numpy\"])\ntorch = 2 >= 1\n", "1.4"),
        ("setup.py", "import torch\nassert torch.__version__ >= '1.9'\n", None),
    ],
)
def test_target_torch(tmp_path: Path, name: str, text: str, expected: str | None) -> None:
    file = write(tmp_path / "r" / name, text)
    assert target_torch(file.parent) == expected
    write(tmp_path / "r" / ".git" / "HEAD")
    resolver = Resolver(RULES)
    assert resolver.configuration(tmp_path / "r" / "m.py").settings.target_torch == expected


def test_configuration_outranks_the_requirement(tmp_path: Path) -> None:
    text = '[project]\ndependencies = ["torch>=1.9"]\n[tool.nograd-lint]\ntarget-torch = "2.5"\n'
    write(tmp_path / "r" / "pyproject.toml", text)
    assert Resolver(RULES).analysis(Root(tmp_path / "r")).target_torch == "2.5"
