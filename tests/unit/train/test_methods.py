"""The base class: what a method is, its checkpoint, its options, and a file of one's own."""

from pathlib import Path
from typing import cast

import pytest
import torch
from helpers.cli import QUICK, Cli
from helpers.methods import adapted, config_of, make_method
from helpers.runs import sign
from structalign.backbones.backbone import Backbone, load_backbone
from structalign.cache import StructAlignError
from structalign.train.methods import adapted as adapted_module
from structalign.train.methods.adapted import AdaptedMethod
from structalign.train.methods.registry import (
    build_method,
    load_method,
    make_config,
    method_class,
    method_names,
)
from structalign.train.methods.structalign.method import DEVIATIONS
from structalign.train.model.adapters import TextExperts

MINE = """
from dataclasses import dataclass
from structalign.train.methods.adapted import AdapterOptions
from structalign.train.methods.finetune import Finetune


@dataclass(frozen=True)
class MineOptions(AdapterOptions):
    pull: float = 0.5


class Mine(Finetune):
    Options = MineOptions

    def losses(self, batch):
        terms = super().losses(batch)
        return {**terms, "pull": self.options.pull * self.frames(batch.tokens).square().mean()}
"""


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("demo", "demo")


def test_defaults_learn_nothing_and_are_the_pretrained_towers(backbone: Backbone) -> None:
    method = make_method("zeroshot", backbone)
    assert method.parameter_groups() == [] and method.state() == {}
    ids = method.tokenize(["a red ball", "two stars"])
    ours, theirs = method.encode_texts(ids, 3).text, backbone.model.encode_text(ids)
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert torch.equal(ours, method.pretrained.encode_texts(ids).text)


@pytest.mark.parametrize(
    ("source", "changes"),
    [("finetune", {}), ("structalign", {"words": "released"}), ("zeroshot", None)],
)
def test_a_query_by_all_paths_at_once_is_each_path_by_itself(
    backbone: Backbone,
    source: str,
    changes: dict[str, object] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In batches of a few paths too."""
    monkeypatch.setattr(adapted_module, "QUERY_ROUTES", 3)
    sizes = {} if changes is None else {"rank": 4, "experts": 3, **changes}
    method = make_method(source, backbone, 9, **sizes)
    if isinstance(method, AdaptedMethod):
        for experts in method.experts:
            rng = torch.Generator().manual_seed(1)
            cast(TextExperts, experts).up.data.normal_(0, 0.1, generator=rng)
    ids = method.tokenize(["two red balls bounce"])
    tasks = [1, 2, 3, 5, 8, 9, 2]
    by_route = method.encode_query(ids, tasks)
    assert set(by_route) == {method.route_of(task) for task in tasks}
    for task in tasks:
        alone, together = method.encode_texts(ids, task), by_route[method.route_of(task)]
        assert torch.equal(alone.lengths, together.lengths)
        assert torch.allclose(alone.words, together.words, atol=1e-3)
        assert torch.allclose(alone.text, together.text, atol=1e-3)
    if isinstance(method, AdaptedMethod):
        assert not torch.allclose(by_route[2].text, by_route[3].text, atol=1e-2), "paths differ"


@pytest.mark.parametrize("source", ["finetune", "framefusionmoe", "structalign"])
def test_a_checkpoint_restores_what_is_learnt_and_remembered(
    backbone: Backbone, source: str
) -> None:
    method = make_method(source, backbone, 3, rank=4, experts=2)
    with torch.no_grad():
        for p in method.learnt().values():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    for name, buffer in method.named_buffers():
        if not name.startswith("towers."):
            owner, _, leaf = name.rpartition(".")
            grown = torch.ones(5, *buffer.shape[1:], dtype=buffer.dtype)
            setattr(method.get_submodule(owner), leaf, grown)
    again = make_method(source, backbone, 0, rank=4, experts=2)
    again.load_state(method.state())
    assert {k: v.shape for k, v in again.state().items()} == {
        k: v.shape for k, v in method.state().items()
    }
    assert all(torch.equal(v, method.state()[k]) for k, v in again.state().items())
    state = method.state()
    state.pop("experts.0.up")
    with pytest.raises(StructAlignError, match=r"does not fit the method: experts\.0\.up"):
        again.load_state(state)


def test_prompts_do_not_depend_on_how_many_tasks_there_are(backbone: Backbone) -> None:
    few, many = adapted(backbone, 2), adapted(backbone, 7)
    assert all(torch.equal(value, many.state()[name]) for name, value in few.state().items())
    assert len(many.task_prototypes) == 7


def test_draws_are_kept_for_the_checkpoint_and_restart_with_each_task(backbone: Backbone) -> None:
    method = make_method("finetune", backbone)
    method.task = 2
    first = torch.randn(3, generator=method.draws("noise"))
    assert not torch.equal(first, torch.randn(3, generator=method.draws("noise")))
    method.generators = {}
    assert torch.equal(first, torch.randn(3, generator=method.draws("noise")))
    assert set(method.generators) == {"noise"}
    assert method.noise() is None and method.train().noise() is not None


def test_a_setting_that_was_added_later_takes_its_default() -> None:
    """A new setting of one method made every other method's finished runs 'another'."""
    old = config_of("structalign").as_json()
    del old["replay_weight"], old["schedule"]
    assert make_config("structalign", "structalign", old) == config_of("structalign")
    with pytest.raises(StructAlignError, match="unknown setting 'crp_weight'"):
        make_config("finetune", "finetune", {"crp_weight": 1.0})


@pytest.mark.parametrize("name", [n for n in method_names() if n.startswith("structalign")])
def test_the_official_code_runs_where_an_option_asks_for_a_deviation(
    backbone: Backbone, name: str
) -> None:
    """``structalign`` is the class that one reads; one deviation is enough for the other."""
    is_official = name == "structalign-released"
    kind = "OfficialStructAlign" if is_official else "StructAlign"
    assert type(build_method(load_method(name, "demo", "demo"), backbone, 0)).__name__ == kind
    for option in DEVIATIONS:
        value = load_method("structalign-released", "actnet", "demo").as_json()[option]
        changed = load_method("structalign", "demo", "demo", {option: value})
        assert type(build_method(changed, backbone, 0)).__name__ == "OfficialStructAlign"


def test_settings_for_several_methods_are_reported_where_they_do_not_apply() -> None:
    config = load_method("zeroshot", "demo", "demo", {"crp_weight": 1, "epochs": 2})
    assert config.ignored == ("crp_weight",) and config.settings.epochs == 2
    with pytest.raises(StructAlignError, match="'crp_weigth'; did you mean 'crp_weight'"):
        load_method("zeroshot", "demo", "demo", {"crp_weigth": 1})
    with pytest.raises(StructAlignError) as far:
        load_method("structalign", "demo", "demo", {"task_sizes": 1})
    assert "did you mean" not in str(far.value)


def test_a_file_of_ones_own(tmp_path: Path, backbone: Backbone) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    config = load_method(f"{path}:pull=0.25", "demo", "demo", {"epochs": 3})
    assert (config.name, config.source) == ("mine:pull=0.25", str(path))
    assert config.options.pull == 0.25 and config.settings.epochs == 3
    assert config.settings.lr_text == 1e-3  # the backbone's
    (tmp_path / "mine.yaml").write_text("base: finetune\ntrain: {pull: 0.75}\n")
    values = load_method(str(path), "demo", "demo")
    assert values.options.pull == 0.75 and values.settings.lr_text == 6e-4  # finetune's
    method = build_method(config, backbone, 0)
    assert isinstance(method, AdaptedMethod) and type(method).__name__ == "Mine"
    with pytest.raises(StructAlignError, match="unknown setting 'pul'; did you mean 'pull'"):
        load_method(str(path), "demo", "demo", {"pul": 1})
    path.write_text(MINE.replace("0.5", "0.125"))  # another version is another module
    assert method_class(str(path)).Options().pull == 0.125


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "must define one subclass of Method; it has none"),
        ("raise SystemExit(3)", "does not import (SystemExit: 3)"),
        ("import nowhere", "does not import (ModuleNotFoundError: No module named 'nowhere')"),
        (MINE + "\nclass Other(Finetune): pass", "it has Mine, Other"),
    ],
)
def test_files_that_are_no_method(tmp_path: Path, code: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(StructAlignError) as raised:
        load_method(str(tmp_path / "mine.py"), "demo", "demo")
    assert message in str(raised.value).replace("Mine, Other", "Mine, Other")


@pytest.mark.slow
def test_a_run_with_a_file_of_ones_own(shared: Cli, tmp_path: Path) -> None:
    """Train, resume, eval, search and report find it again; another version is refused."""
    path, run = tmp_path / "mine.py", tmp_path / "run"
    path.write_text(MINE)
    line = ("train", *QUICK, "--method", path, "--set", "pull=0.1", "--out", run)
    assert shared.json(*line, "--until", "1")["method"] == "mine"
    results = shared.json(*line)
    assert results["tasks"] == 2 and results["settings"]["pull"] == 0.1
    assert shared.json("eval", run, "--again")["matrix"] == results["matrix"]
    assert len(shared.json("search", run, "a red ball")["results"]) == 5
    report = Path(shared.json("report", run)["file"]).read_text()
    assert f"--method {path}" in report
    assert "unknown setting 'pul'" in shared.error(*line[:-2], "--set", "pul=1")
    path.write_text(MINE + "\n# changed\n")
    assert "the method's file has changed" in shared.error(*line)
    message = shared.error("eval", run, "--again")
    assert "has changed since it was trained" in message and f"{run}/method.py" in message
    path.write_bytes((run / "method.py").read_bytes())
    shared.json("eval", run, "--again")


def test_a_run_that_brings_its_own_code_is_not_executed(shared: Cli, tmp_path: Path) -> None:
    path, run = tmp_path / "mine.py", tmp_path / "run"
    path.write_text(MINE)
    shared.json("train", *QUICK, "--until", "1", "--method", path, "--out", run)
    sign(run / "config.json", source=str(run / "method.py"))
    assert "brings its own code" in shared.error("eval", run, "--again")
