from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nograd_lint.diagnostics import Problem
from nograd_lint.settings import Settings
from nograd_lint.source.discovery import discover


def tree(root: Path, *files: str) -> Path:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return root


def found(root: Path, *paths: Path, settings: Settings | None = None) -> list[str]:
    result = discover(paths or [root], settings or Settings(), root)
    assert result.problems == []
    return [path.relative_to(root).as_posix() for path in result.files]


def test_python_files_and_notebooks_in_order(tmp_path: Path) -> None:
    tree(tmp_path, "b.py", "a.py", "a/z.py", "a/b/c.ipynb", "c.pyi", "d.txt", "e.md", "Z.py", "no_suffix", "x.pyc")
    assert found(tmp_path) == ["Z.py", "a.py", "b.py", "a/z.py", "a/b/c.ipynb"]
    assert found(tmp_path, settings=Settings(markdown=True)) == [
        "Z.py",
        "a.py",
        "b.py",
        "e.md",
        "a/z.py",
        "a/b/c.ipynb",
    ]


def test_a_file_named_itself_is_python_whatever_its_name(tmp_path: Path) -> None:
    tree(tmp_path, "script", "stub.pyi", "read.md", "build/x.py")
    names = [tmp_path / name for name in ("script", "stub.pyi", "read.md", "build/x.py")]
    assert found(tmp_path, *names) == ["script", "build/x.py"]
    assert found(tmp_path, *names, settings=Settings(force_exclude=True)) == ["script"]


def test_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "p/b.py", "p/q/c.py")
    (tmp_path / "p" / "a.py").symlink_to(tmp_path / "p" / "b.py")
    (tmp_path / "other").symlink_to(tmp_path / "p")
    monkeypatch.chdir(tmp_path / "p")
    paths = [Path("q"), tmp_path, Path(), Path("q/../b.py"), tmp_path / "other" / "q"]
    assert found(tmp_path, *paths) == ["p/q/c.py", "p/b.py"]


def test_what_is_usually_no_source_is_left_out(tmp_path: Path) -> None:
    tree(tmp_path, "a.py", ".venv/x.py", "venv/x.py", "pkg/node_modules/x.py", "build/x.py", "pkg/__pycache__/x.py")
    tree(tmp_path, "my-env/pyvenv.cfg", "my-env/lib/x.py", "lib/site-packages/x.py", ".git/hooks/x.py", "pkg/dist.py")
    assert found(tmp_path) == ["a.py", "pkg/dist.py"]
    # Below a directory that was named itself.
    assert found(tmp_path, tmp_path / "lib" / "site-packages") == ["lib/site-packages/x.py"]


def test_exclude(tmp_path: Path) -> None:
    tree(tmp_path, "a.py", "gen/x.py", "pkg/gen/x.py", "pkg/x_pb2.py", "tests/data/x.py", "build/x.py")
    only = Settings(extend_exclude=("/gen", "*_pb2.py", "tests/data/"))
    assert found(tmp_path, settings=only) == ["a.py", "pkg/gen/x.py"]
    assert found(tmp_path, settings=Settings(exclude=("gen",))) == [
        "a.py",
        "build/x.py",
        "pkg/x_pb2.py",
        "tests/data/x.py",
    ]
    named = [tmp_path / "gen" / "x.py", tmp_path / "pkg" / "x_pb2.py", tmp_path / "a.py"]
    assert len(found(tmp_path, *named, settings=only)) == 3
    forced = Settings(extend_exclude=("/gen", "*_pb2.py"), force_exclude=True)
    assert found(tmp_path, *named, settings=forced) == ["a.py"]


def test_links_that_go_in_circles_or_nowhere(tmp_path: Path) -> None:
    tree(tmp_path, "a/b/x.py")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self.py").symlink_to(tmp_path / "a" / "self.py")
    (tmp_path / "a" / "broken.py").symlink_to(tmp_path / "gone.py")
    assert found(tmp_path) == ["a/b/x.py"]
    assert found(tmp_path, tmp_path / "a" / "b" / "up" / "a") == ["a/b/up/a/b/x.py"]


def test_a_link_to_a_file_elsewhere_is_followed(tmp_path: Path) -> None:
    tree(tmp_path, "elsewhere/x.py", "here/y.py")
    (tmp_path / "here" / "x.py").symlink_to(tmp_path / "elsewhere" / "x.py")
    assert found(tmp_path, tmp_path / "here") == ["here/x.py", "here/y.py"]


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    tree(tmp_path, "a.py")
    result = discover([tmp_path / "gone", "/no/such.py", tmp_path / "loop", tmp_path / "a.py"], Settings(), tmp_path)
    assert result.problems == [
        Problem("gone", "file not found"),
        Problem("/no/such.py", "file not found"),
        Problem("loop", "too many levels of symbolic links"),
    ]
    assert result.files == [tmp_path / "a.py"]


def test_directories_that_are_named_like_files(tmp_path: Path) -> None:
    tree(tmp_path, "a.py/b.py")
    os.mkfifo(tmp_path / "pipe.py")
    assert found(tmp_path) == ["a.py/b.py"]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    tree(tmp_path, "é.py")
    try:
        (tmp_path / os.fsdecode(b"\xff.py")).write_text("")
    except OSError:
        pytest.skip("the file system takes no such names")
    result = discover([tmp_path], Settings(), tmp_path)
    assert result.files == [tmp_path / "é.py"]
    assert result.problems == [Problem("\\xff.py", "the name of the file is not UTF-8")]


def test_nested_configurations(tmp_path: Path) -> None:
    tree(tmp_path, "a.py", "sub/nograd-lint.toml", "sub/gen/x.py", "sub/pkg/gen/x.py", "gen/x.py", "sub/tests/y.py")

    def nested(directory: Path) -> tuple[Settings, Path]:
        if directory.is_relative_to(tmp_path / "sub"):
            return Settings(exclude=("/gen",)), tmp_path / "sub"
        return Settings(exclude=("tests",)), tmp_path

    for paths in ([tmp_path], [tmp_path / "gen", tmp_path / "a.py", tmp_path / "sub"]):
        result = discover(paths, nested(tmp_path)[0], tmp_path, nested)
        names = sorted(path.relative_to(tmp_path).as_posix() for path in result.files)
        assert names == ["a.py", "gen/x.py", "sub/pkg/gen/x.py", "sub/tests/y.py"]


# --- git --------------------------------------------------------------------------------------------------------------


def git(root: Path, *arguments: str) -> str:
    environment = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "PATH": os.environ["PATH"]}
    command = ["git", "-c", "core.excludesFile=", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
FILES = [
    "a.py",
    "b.py",
    "!a.py",
    "x/a.py",
    "x/b.py",
    "x/y/a.py",
    "x/y/b.py",
    "y/a.py",
    "y/x/c.py",
    "a b/a.py",
    "a b/x/b.py",
]
PATTERN_FILE = r"""a.py
/a.py
x/
/x
x
!x/
!a.py
y/*
**/y
x/**
!/x/y/
*.py
!b.py
[ab].py
#a.py

a b
\!a.py
x/y
?.py
!x/y/b.py
[
*"""
PATTERNS = st.sampled_from(PATTERN_FILE.split("\n"))
IGNORES = st.dictionaries(
    st.sampled_from([".gitignore", "x/.gitignore", "x/y/.gitignore", "a b/.gitignore", ".git/info/exclude"]),
    st.lists(PATTERNS, max_size=5),
    max_size=3,
)


def by_git(root: Path, below: str) -> list[str]:
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", below).split("\0")
    return sorted(name for name in listed if name.endswith(".py"))


@needs_git
@settings(max_examples=40, deadline=None)
@given(ignores=IGNORES)
def test_ignore_files_mean_what_they_mean_to_git(
    tmp_path_factory: pytest.TempPathFactory, ignores: Mapping[str, list[str]]
) -> None:
    root = tree(tmp_path_factory.mktemp("repository"), *FILES)
    git(root, "init", "-q")
    for name, patterns in ignores.items():
        (root / name).write_text("\n".join(patterns) + "\n")
    assert sorted(found(root)) == by_git(root, ".")
    assert len(found(root, settings=Settings(respect_gitignore=False))) == len(FILES)
    if by_git(root, "x"):  # else it may be ignored itself
        assert sorted(found(root, root / "x")) == by_git(root, "x")


@needs_git
def test_an_ignored_directory_that_is_named(tmp_path: Path) -> None:
    root = tree(tmp_path, "out/a.py", "out/b.py", "c.py")
    git(root, "init", "-q")
    (root / ".gitignore").write_text("out/\n")
    (root / "out" / ".gitignore").write_text("b.py\n")
    assert found(root) == ["c.py"]
    assert found(root, root / "out") == ["out/a.py"]


@needs_git
def test_the_exclude_file_of_a_linked_work_tree(tmp_path: Path) -> None:
    root = tree(tmp_path / "main", "a.py", "b.py")
    git(root, "init", "-q")
    git(root, "-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-q", "--allow-empty", "-m", "m")
    git(root, "worktree", "add", "-q", str(tmp_path / "linked"))
    (root / ".git" / "info" / "exclude").write_text("b.py\n")
    linked = tree(tmp_path / "linked", "a.py", "b.py")
    assert found(linked) == ["a.py"]


def test_ignore_files_count_without_a_repository(tmp_path: Path) -> None:
    tree(tmp_path, "p/a.py", "p/b.py")
    (tmp_path / "p" / ".gitignore").write_bytes(b"b.py\n\xff\n")
    assert found(tmp_path) == ["p/a.py"]
