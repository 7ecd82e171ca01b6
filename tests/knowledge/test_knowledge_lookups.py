"""How names are matched."""

from __future__ import annotations

import msgspec
import pytest

from nograd_lint.knowledge import Knowledge, frameworks, load


def from_toml(tmp_path_factory: pytest.TempPathFactory, text: str) -> Knowledge:
    path = tmp_path_factory.mktemp("knowledge") / "own.toml"
    path.write_text(text, encoding="utf-8")
    return load([path], roots=set())


@pytest.mark.parametrize(
    ("glob", "matches", "misses"),
    [
        ("acme.load", ["acme.load"], ["acme.loads", "acme.load.x", "xacme.load"]),
        ("acme.load_*", ["acme.load_big", "acme.load_"], ["acme.load_big.x", "acme.load"]),
        ("acme.*.build", ["acme.zoo.build"], ["acme.build", "acme.a.b.build"]),
        ("acme.**.build", ["acme.build", "acme.zoo.build", "acme.a.b.build"], ["acme.a.builder", "acme.rebuild"]),
        ("acme.**", ["acme.a", "acme.a.b"], ["acme", "acmes.a"]),
        ("acme.[A-Z]*", ["acme.Net"], ["acme.net", "acme.Net.load"]),
        ("*.no_tracking", ["acme.no_tracking", "x.no_tracking"], ["no_tracking", "a.b.no_tracking"]),
        ("**.no_tracking", ["no_tracking", "acme.no_tracking", "a.b.no_tracking"], ["acme.so_no_tracking"]),
        ("ac*.apis.infer", ["acme.apis.infer", "ac.apis.infer"], ["am.apis.infer"]),
        ("acme.a+b", ["acme.a+b"], ["acme.aab"]),
    ],
)
def test_names_and_globs(
    glob: str, matches: list[str], misses: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    knowledge = from_toml(tmp_path_factory, f'[[loader]]\nnames = ["{glob}"]\n')
    assert [name for name in matches if not knowledge.is_loader(name)] == []
    assert [name for name in misses if knowledge.is_loader(name)] == []


def test_exact_beats_glob_and_later_beats_earlier(tmp_path_factory: pytest.TempPathFactory) -> None:
    knowledge = from_toml(
        tmp_path_factory,
        """
        [[guarded]]
        names = ["acme.infer", "acme.a*"]
        why = "first"
        [[guarded]]
        names = ["acme.*"]
        excluding = ["acme.train*"]
        why = "second"
        """,
    )
    assert knowledge.guarded("acme.infer").why == "first"  # type: ignore[union-attr]
    assert knowledge.guarded("acme.abc").why == "second"  # type: ignore[union-attr]
    assert knowledge.guarded("acme.train_all") is None


def test_aliases_and_flattened_packages(tmp_path_factory: pytest.TempPathFactory) -> None:
    knowledge = from_toml(
        tmp_path_factory,
        """
        aliases.old_acme = "acme"
        aliases."acme.legacy" = "acme.nets"
        aliases.round = "about"
        aliases.about = "round"
        flatten."acme.nets" = "acme"
        [[module]]
        names = ["acme.nets.deep.Net"]
        [[class]]
        names = ["acme.nets.Child"]
        inherits = ["acme.legacy.Net"]
        """,
    )
    assert knowledge.canonical("old_acme.nets.resnet.Net.load") == "acme.Net.load"
    assert knowledge.canonical("acme.legacy.unet.Net") == "acme.Net"
    assert knowledge.canonical("acme.nets.build") == "acme.nets.build"
    assert knowledge.canonical("acme.networks.Net") == "acme.networks.Net"
    assert knowledge.canonical("round.trip").endswith(".trip")
    assert knowledge.is_module_class("old_acme.nets.Net")
    assert knowledge.is_module_class("acme.nets.child.Child")
    assert knowledge.canonical("") == ""


def test_what_holds_for_a_class_holds_for_those_that_inherit(tmp_path_factory: pytest.TempPathFactory) -> None:
    knowledge = from_toml(
        tmp_path_factory,
        """
        [[module]]
        names = ["acme.Base"]
        inherits = ["acme.Mixin"]
        [[class]]
        names = ["acme.Net*"]
        inherits = ["acme.Base"]
        [[class]]
        names = ["acme.Mixin"]
        inherits = ["acme.NetA"]
        [[guarded]]
        bases = ["acme.Mixin"]
        methods = ["sample"]
        why = "x"
        [[attribute]]
        bases = ["acme.Base"]
        attributes = ["encoder"]
        """,
    )
    assert knowledge.lineage("acme.NetB")[:2] == ("acme.NetB", "acme.Base")
    assert "torch.nn.Module" in knowledge.lineage("acme.NetB")
    assert knowledge.is_subclass("acme.NetB", "torch.nn.modules.module.Module")
    assert not knowledge.is_subclass("torch.nn.Module", "acme.NetB")
    assert knowledge.guarded_method("acme.NetB", "sample") is knowledge.guarded("acme.Mixin.sample")
    assert knowledge.guarded_method("acme.NetB", "train") is None
    assert knowledge.model_attribute("acme.NetB", "encoder") is not None
    assert knowledge.forward_method("acme.NetB", "forward") is not None


def test_the_class_that_a_call_returns(tmp_path_factory: pytest.TempPathFactory) -> None:
    knowledge = from_toml(
        tmp_path_factory,
        """
        [[module]]
        names = ["acme.Net"]
        [[model]]
        names = ["acme.Net.from_disk", "acme.make"]
        [[model]]
        names = ["acme.pick"]
        returns = "acme.Net"
        """,
    )
    assert knowledge.returned_class("acme.Net") == "acme.Net"
    assert knowledge.returned_class("acme.Net.from_disk") == "acme.Net"
    assert knowledge.returned_class("acme.pick") == "acme.Net"
    assert knowledge.returned_class("acme.make") is None
    assert knowledge.returned_class("acme.other") is None


def test_crosses_processes_and_does_not_depend_on_the_order_of_roots() -> None:
    one = load(roots=["transformers", "torchvision"])
    two = load(roots={"torchvision", "transformers", "unknown"})
    assert one.frameworks == two.frameworks
    assert one.digest == two.digest
    assert set(one.frameworks) > {"PyTorch", "Transformers", "torchvision"}
    copy = msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=Knowledge)
    assert copy.guarded("transformers.BertModel.generate") == one.guarded("transformers.BertModel.generate")


def test_everything_can_be_loaded_together() -> None:
    knowledge = load()
    assert len(knowledge.frameworks) == len(frameworks())
    assert knowledge.guard("monai.networks.utils.eval_mode") is not None
