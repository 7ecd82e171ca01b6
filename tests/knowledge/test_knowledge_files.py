"""The files that come with nograd-lint, and those of users."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

import nograd_lint.knowledge as package
from nograd_lint.knowledge import Entry, KnowledgeError, frameworks, load
from nograd_lint.knowledge.files import builtin
from nograd_lint.knowledge.tables import Framework

README = (Path(package.__file__).parent / "README.md").read_text(encoding="utf-8")
TABLES = {
    field.name: field.encode_name
    for field in msgspec.structs.fields(Framework)
    if field.encode_name not in ("name", "modules", "checked", "needs", "aliases", "flatten")
}


def entries(stem: str) -> list[tuple[str, Entry]]:
    framework = builtin(stem).framework
    return [(table, entry) for name, table in TABLES.items() for entry in getattr(framework, name)]


@pytest.mark.parametrize("stem", sorted(frameworks()))
class TestBuiltinFile:
    def test_says_what_it_is_and_what_was_read(self, stem: str) -> None:
        framework = builtin(stem).framework
        assert framework.name
        assert framework.modules == frameworks()[stem]
        assert framework.checked or stem == "python"

    def test_reasons_are_sentences_that_a_diagnostic_can_show(self, stem: str) -> None:
        for table, entry in entries(stem):
            if "why" in {f.name for f in msgspec.structs.fields(type(entry)) if f.required}:
                assert entry.why, (table, entry)
            assert not entry.why.endswith("."), entry.why
            assert len(entry.why) <= 110, entry.why

    def test_names_belong_to_its_modules(self, stem: str) -> None:
        framework = builtin(stem).framework
        allowed = {*framework.modules, *builtin("python").framework.modules, "torch", "math", "float", "int", "bool"}
        for table, entry in entries(stem):
            for name in (*entry.names, *entry.bases):
                root = name.partition(".")[0]
                if stem != "python":
                    assert any(re.fullmatch(root.replace("*", r"\w*"), known) for known in allowed), (table, name)

    def test_exclusions_exclude_something_that_the_globs_name(self, stem: str) -> None:
        for table, entry in entries(stem):
            if entry.excluding:
                assert any(re.search(r"[*\[]", name) for name in entry.names), (table, entry)


def test_every_table_is_used_and_documented() -> None:
    used = {table for stem in frameworks() for table, _ in entries(stem)}
    assert used == set(TABLES.values())
    assert set(re.findall(r"^### \[\[(\w+)\]\]", README, re.MULTILINE)) == used


@pytest.mark.parametrize("table", sorted(TABLES.values()))
def test_every_key_is_documented(table: str) -> None:
    section = README.partition(f"### [[{table}]]")[2].partition("\n##")[0]
    common = README.partition("## What every table has")[2].partition("\n## ")[0]
    field = next(f for f in msgspec.structs.fields(Framework) if f.encode_name == table)
    for key in msgspec.structs.fields(field.type.__args__[0]):
        assert f"`{key.encode_name}`" in section + common, f"{table}.{key.encode_name}"


@pytest.mark.parametrize(("number", "block"), list(enumerate(re.findall(r"```toml\n(.*?)```", README, re.DOTALL))))
def test_examples_of_the_documentation_load(number: int, block: str, tmp_path: Path) -> None:
    path = tmp_path / f"{number}.toml"
    path.write_text(block, encoding="utf-8")
    assert load([path], roots=set()).digest


class TestUsersFile:
    def write(self, tmp_path: Path, text: str) -> Path:
        path = tmp_path / "own.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def test_adds_to_what_is_known(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            """
            aliases."acme.ml.no_tracking" = "acme.no_tracking"
            [[guard]]
            names = ["acme.no_tracking"]
            mode = "disabled"
            why = "no_tracking enters torch.no_grad"
            [[hook]]
            bases = ["acme.Job"]
            methods = ["score", "report"]
            mode = "disabled"
            evaluate = true
            why = "a job is scored under no_grad"
            """,
        )
        knowledge = load([path], roots=set())
        guard = knowledge.guard("acme.ml.no_tracking")
        assert guard is not None
        assert guard.mode == "disabled"
        assert knowledge.hook("acme.Job", "report") is not None
        assert knowledge.guard("torch.no_grad") is not None

    def test_goes_before_what_comes_with_the_linter(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            '[[hook]]\nbases = ["lightning.pytorch.LightningModule"]\nmethods = ["validation_step"]\n'
            'mode = "enabled"\nwhy = "our trainer tunes prompts at test time"\n',
        )
        hook = load([path], roots={"lightning"}).hook("pytorch_lightning.LightningModule", "validation_step")
        assert hook is not None
        assert hook.mode == "enabled"

    def test_brings_the_frameworks_that_it_builds_on(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            'needs = ["transformers"]\n[[class]]\nnames = ["acme.Trainer"]\ninherits = ["transformers.Trainer"]\n',
        )
        demand = load([path], roots=set()).demand("acme.Trainer.train")
        assert demand is not None
        assert demand.kind == "trains"

    def test_changes_the_digest(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, '[[loader]]\nnames = ["acme.Loader"]\n')
        one = load([path], roots=set()).digest
        path.write_text('[[loader]]\nnames = ["acme.Loaders"]\n', encoding="utf-8")
        assert len({one, load([path], roots=set()).digest, load(roots=set()).digest}) == 3

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a = = 1", "is not TOML"),
            ('nam = "x"', "unknown key 'nam' (did you mean 'name'?)"),
            ('[[hoook]]\nnames = ["a"]', "unknown table 'hoook' (did you mean 'hook'?)"),
            ('[hook]\nnames = ["a"]', "hook: a table is written [[hook]], in two pairs of brackets"),
            ('[[loss]]\nnames = ["a"]\n[[loss]]\nname = ["a"]', "[[loss]] number 2: unknown key 'name' (did you mean"),
            ('[[loss]]\nnames = "a"', "[[loss]] number 1: names: expected `array`, got `str`"),
            ("[[loss]]\ncall = true", "[[loss]] number 1: needs names, or bases and methods"),
            ('[[loss]]\nbases = ["a"]', "[[loss]] number 1: needs names, or bases and methods"),
            ('[[class]]\ninherits = ["a"]', "[[class]] number 1: needs names, or bases and methods"),
            ('[[guarded]]\nnames = ["a.b"]', "[[guarded]] number 1: the key 'why' is missing"),
            (
                '[[hook]]\nnames = ["a.b"]\nmode = "off"\nwhy = "x"',
                "[[hook]] number 1: mode: invalid enum value 'off': use one of disabled, inference, enabled",
            ),
            ("aliases.a = 1", "aliases[...]: expected `str`, got `int`"),
            ('needs = ["transfomers"]', "no such framework: 'transfomers' (did you mean 'transformers'?)"),
        ],
    )
    def test_mistakes_are_named(self, text: str, message: str, tmp_path: Path) -> None:
        path = self.write(tmp_path, text)
        with pytest.raises(KnowledgeError, match=re.escape(str(path))) as raised:
            load([path])
        assert message in str(raised.value)

    def test_missing_file_and_bad_encoding(self, tmp_path: Path) -> None:
        with pytest.raises(KnowledgeError, match="cannot be read"):
            load([tmp_path / "none.toml"])
        path = tmp_path / "latin.toml"
        path.write_bytes(b'name = "\xff"')
        with pytest.raises(KnowledgeError, match="is not UTF-8"):
            load([path])
