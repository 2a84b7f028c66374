"""A run is gone on with by its folder alone, and by the lines that training prints."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from resgraph.cli import main
from resgraph.cli.tasks import asked, task
from resgraph.data import load_data
from resgraph.diagnostics import ResgraphError, RetryError
from resgraph.train import TrainOptions, open_run
from resgraph.train.again import word
from resgraph.train.options import OF_ONE_SESSION, OF_THE_RECIPE
from resgraph.train.start import _memory_explained
from resgraph.train.step import Engine
from tests.conftest import ROOT
from tests.helpers import refused
from tests.training.conftest import Trained
from tests.training.test_resume import comparable

TINY = (ROOT / "tests" / "specs" / "tiny.yaml").read_text()
BIN = Path(sys.executable).parent
ENV = {
    **os.environ,
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
}
QUICK = (
    "--data digits --device cpu --iterations 12 --batch 32 --eval-every 5 --log-every 2"
)
LINE = re.compile(r"^(?:go on|start anew): (.*)$", re.M)


def shell(line: str, code: int = 0) -> str:
    """What a line prints, typed into a shell."""
    done = subprocess.run(
        ["bash", "-c", line], env=ENV, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def here(line: str, code: int = 0) -> str:
    """What the same line prints, without a process of its own."""
    told, before = io.StringIO(), sys.argv
    sys.argv = shlex.split(line)
    try:
        with redirect_stdout(told), redirect_stderr(told):
            main()
        ended: Any = 0
    except SystemExit as error:
        ended = error.code
    finally:
        sys.argv = before
    assert ended == code, told.getvalue()
    return told.getvalue()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with a spec, in which the tests run."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "tiny.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same(one: Path, other: Path) -> None:
    for name in ("last.safetensors", "best.safetensors"):
        ours, theirs = load_file(one / name), load_file(other / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert comparable(one) == comparable(other)


def train(words: str, *, folder: str = "run") -> dict[str, Any]:
    here(f"resgraph train {words} --json")
    return dict(open_run(folder).about)


def test_a_spec_is_trained_as_its_generated_file(project: Path) -> None:
    train(f"specs/tiny.yaml {QUICK} --out run")
    assert not Path("generated").exists()
    here("resgraph compile specs/tiny.yaml --source-only")
    train(f"generated/tiny.py {QUICK} --out other", folder="other")
    same(Path("run"), Path("other"))
    for name in ("tiny.py", "spec.yaml", "last.safetensors", "state.pt"):
        assert Path("run", name).read_bytes() == Path("other", name).read_bytes()
    assert open_run("run").about["generated"] == "specs/tiny.yaml"


def test_a_network_of_a_spec_is_chosen(project: Path) -> None:
    two = TINY + "networks: {small: {depth: 8}, large: {depth: 14}}\n"
    Path("specs/two.yaml").write_text(two)
    told = here(f"resgraph train specs/two.yaml {QUICK}", 2)
    assert "has 2 networks: small, large" in told
    assert "choose one with --network" in told
    chosen = "--network small --set depth=20 --stop-at 3 --out run"
    assert train(f"specs/two.yaml {QUICK} {chosen}")["network"] == "small_depth20"
    told = here("resgraph train run")
    assert "note:" not in told
    assert "next: resgraph export run" in told
    assert "onnx" in here("resgraph export run")
    (project / "specs/two.yaml").write_text(two.replace("option_a", "identity", 1))
    told = here("resgraph train run --network small", 2)
    assert "--network and --set are for specs" in told


FORMS = (
    *("run", "run --resume", "--resume run", "specs/tiny.yaml --resume run"),
    "specs/tiny.yaml --resume --out run",
)


def test_each_form_goes_on_with_all_of_the_run(project: Path) -> None:
    first = f"specs/tiny.yaml {QUICK} --seed 3 --checkpoint-every 3 --monitor"
    whole = train(f"{first} --out whole", folder="whole")
    before = train(f"{first} --out stopped --stop-at 7", folder="stopped")
    for form in FORMS:
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree("stopped", "run")
        about = train(form)
        same(Path("run"), Path("whole"))
        for name in ("state.pt", "state.previous.pt", "units.jsonl"):
            assert Path("run", name).read_bytes() == Path("whole", name).read_bytes()
        assert about["options"] == before["options"] == whole["options"]


OTHERS: dict[str, Any] = {
    "data": "digits",
    "device": "cpu",
    "iterations": 9,
    "epochs": 2.0,
    "schedule_scale": 0.5,
    "batch": 48,
    "lr": 0.05,
    "recipe": {"optimizer": "adamw", "ema": 0.9, "epochs": 3.0},
    "seed": 7,
    "precision": "bf16",
    "channels_last": False,
    "compile": False,
    "cuda_graph": False,
    "fused": False,
    "fused_kernels": False,
    "sync_bn": False,
    "log_every": 3,
    "eval_every": 4,
    "checkpoint_every": 2,
    "monitor": True,
    "memory_budget": "1GiB",
    "weights": "theirs.pth",
    "freeze": ("stem*",),
    "lr_of": {"head*": 2.0},
}


def kept_options() -> list[str]:
    return [
        f.name for f in dataclasses.fields(TrainOptions) if f.name not in OF_ONE_SESSION
    ]


def restored(folder: Path, **chosen: Any) -> TrainOptions:
    return task(asked([folder], None, [], chosen)).options


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run that was stopped."""
    folder = tmp_path_factory.mktemp("stopped")
    (folder / "specs").mkdir()
    (folder / "specs" / "tiny.yaml").write_text(TINY)
    line = f"resgraph train specs/tiny.yaml {QUICK} --out run --stop-at 4"
    subprocess.run(
        ["bash", "-c", line], cwd=folder, env=ENV, check=True, capture_output=True
    )
    return folder


@pytest.fixture
def begun(stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(stopped, tmp_path / "at")
    monkeypatch.chdir(tmp_path / "at")
    return Path("run")


@pytest.mark.parametrize("name", kept_options())
def test_every_option_is_restored_and_can_be_chosen_anew(
    begun: Path, name: str
) -> None:
    """All that are not of the recipe, which is restored itself."""
    value, about = OTHERS[name], open_run(begun).about["options"]
    assert about[name] != value or name in ("data", "device")
    open_run(begun).update(options={**about, name: value})
    found = getattr(restored(begun), name)
    own = name in OF_THE_RECIPE
    assert found == (getattr(TrainOptions(), name) if own else value)
    open_run(begun).update(options=about)
    assert chosen_in(restored(begun, **{name: value}), name) == value
    anew = restored(begun, overwrite=True)
    assert anew.kept[name] == about[name]


def chosen_in(options: TrainOptions, name: str) -> Any:
    """An option, wherever it stands; of the words of a recipe, those that are asked for."""
    if name == "recipe":
        return {word: options.words[word] for word in OTHERS["recipe"]}
    if name in options.words:
        return options.words[name]
    return getattr(options, name)


def test_no_option_is_forgotten() -> None:
    assert {*OTHERS} == {*kept_options()}


def test_a_later_length_stands_in_the_place_of_the_earlier(begun: Path) -> None:
    kept = {"batch": 32}
    assert restored(begun, overwrite=True).words == {**kept, "iterations": 12}
    assert restored(begun, epochs=2.0).words == {**kept, "epochs": 2.0}
    assert restored(begun, recipe={"epochs": 2.0}).words == {**kept, "epochs": 2.0}
    assert restored(begun, iterations=20).words == {**kept, "iterations": 20}
    assert restored(begun, schedule_scale=0.1).words == kept
    open_run(begun).update(
        options={**open_run(begun).about["options"], "schedule_scale": 0.5}
    )
    assert restored(begun, iterations=20).schedule_scale == 1


def test_what_is_typed_later_is_kept(begun: Path) -> None:
    here("resgraph train run --stop-at 6 --log-every 1 --seed 0")
    assert open_run(begun).about["options"]["log_every"] == 1
    assert open_run(begun).about["options"]["recipe"]["iterations"] == 12
    assert "(seed 0, now 1)" in here("resgraph train run --seed 1", 1)


def test_a_folder_of_before_is_gone_on_with(begun: Path) -> None:
    """Without options: by its own data, seed, recipe; and anew by its recipe."""
    path = begun / "run.json"
    about = json.loads(path.read_text())
    del about["options"], about["data_at"]
    path.write_text(json.dumps(about))
    shutil.copytree("run", "other")
    here("resgraph train run --device cpu --eval-every 5 --log-every 2")
    assert open_run(begun).status == "finished"
    anew = "resgraph train other --overwrite --device cpu --eval-every 5 --log-every 2"
    here(anew)
    same(Path("run"), Path("other"))


def test_resume_beside_a_file_finds_its_run(begun: Path) -> None:
    """On the run's data, without `--out`; two that it may mean are told."""
    told = here("resgraph train specs/tiny.yaml --resume", 1)
    assert "cannot resume" in told or "does not exist" in told or "cifar10" in told
    Path("runs").mkdir()
    shutil.copytree("run", "runs/tiny-digits-s0")
    assert "go on: resgraph train runs/tiny-digits-s0" in here(
        "resgraph train specs/tiny.yaml --resume --stop-at 5"
    )
    shutil.copytree("run", "runs/tiny-second-s0")
    told = here("resgraph train specs/tiny.yaml --resume", 2)
    assert "may mean runs/tiny-digits-s0, runs/tiny-second-s0" in told


@pytest.mark.parametrize("case", ["gone", "changed", "unreadable"])
def test_the_copy_serves_where_the_original_does_not(begun: Path, case: str) -> None:
    spec = Path("specs/tiny.yaml")
    match case:
        case "gone":
            spec.unlink()
        case "changed":
            spec.write_text(TINY.replace("ops: [add, relu]", "ops: [add]"))
        case "unreadable":
            spec.write_text("units: [")
    told = here("resgraph train run")
    assert "note: specs/tiny.yaml" in told
    assert "goes on with its own copy, run/tiny.py" in told
    assert open_run(begun).status == "finished"


@pytest.mark.parametrize("damage", ["gone", "changed"])
@pytest.mark.parametrize("file", ["tiny.py", "spec.yaml"])
def test_the_original_serves_where_the_copy_does_not(
    begun: Path, file: str, damage: str
) -> None:
    path = begun / file
    before = path.read_text()
    path.unlink() if damage == "gone" else path.write_text(before[:300])
    told = here("resgraph train run")
    if file == "tiny.py":
        assert "the run goes on with specs/tiny.yaml" in told
    assert open_run(begun).status == "finished"
    assert path.read_text() == before


def pictures(folder: Path) -> None:
    data = load_data("digits", (1, 8, 8))
    for part in ("train", "test"):
        images, labels = (
            getattr(data, f"{part}_images"),
            getattr(data, f"{part}_labels"),
        )
        for number in range(60):
            place = folder / part / f"class{labels[number]}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[number, 0]).save(place / f"{number}.png")


def test_data_of_a_path_are_found_from_elsewhere(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(Path("mine"))
    chosen = QUICK.replace("digits", "mine").replace("32", "16")
    train(f"specs/tiny.yaml {chosen} --out runs/a --stop-at 3", folder="runs/a")
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    told = here("resgraph train ../runs/a")
    assert "go on" not in told
    assert open_run("../runs/a").status == "finished"


def test_what_is_no_target(begun: Path) -> None:
    assert "nothing to train" in here("resgraph train", 2)
    assert "names no run" in here("resgraph train --resume", 2)
    assert "specs is not a run folder" in here("resgraph train specs", 1)
    assert "2 things to train" in here("resgraph train run specs/tiny.yaml", 2)
    assert "2 things to train" in here("resgraph train run run --resume", 2)
    assert "no such file" in here("resgraph train nowhere.yaml --resume", 2)


def test_another_run_by_the_same_options(begun: Path) -> None:
    here("resgraph train run --out other --seed 1")
    run = open_run("other")
    assert (run.status, run.about["seed"]) == ("finished", 1)
    wanted = {**open_run(begun).about["options"], "seed": 1}
    assert run.about["options"] == wanted


# --- the line -----------------------------------------------------------------------------


def line_of(told: str) -> str:
    (line,) = LINE.findall(told)
    return line


def test_stopped_by_stop_at(begun: Path) -> None:
    line = line_of(here("resgraph train run --stop-at 6"))
    shell(line)
    assert open_run(begun).status == "finished"


@pytest.mark.parametrize(
    ("name", "foreign"), [("SIGINT", False), ("SIGTERM", True), ("SIGHUP", False)]
)
def test_stopped_by_a_signal(project: Path, name: str, foreign: bool) -> None:
    here("resgraph compile specs/tiny.yaml --source-only")
    if foreign:
        with Path("generated/tiny.py").open("a") as file:
            file.write("# mine\n")
    out = "'a run' --iterations 4000 --log-every 1"
    words = f"resgraph train generated/tiny.py {QUICK} --out {out}"
    process = subprocess.Popen(
        ["bash", "-c", f"exec {words}"],
        env=ENV,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    metrics = Path("a run/metrics.jsonl")
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < 3:
        assert process.poll() is None
    process.send_signal(getattr(signal, name))
    told, _ = process.communicate()
    assert process.returncode == 130, told
    before = open_run("a run").about["results"]["iteration"]
    line = line_of(told)
    assert "'a run'" in line
    shell(f"{line} --stop-at {before + 3}")
    assert open_run("a run").about["results"]["iteration"] == before + 3


def test_stopped_by_a_full_disk(begun: Path) -> None:
    with Path("run/metrics.jsonl").open("rb") as file:
        size = len(file.read())
    assert size
    told = shell("ulimit -f 30; resgraph train run", 1)
    assert "cannot write" in told
    shell(line_of(told))
    assert open_run(begun).status == "finished"


def test_a_file_that_ends_the_process(project: Path) -> None:
    """Foreign code, which does so once."""
    here("resgraph compile specs/tiny.yaml --source-only")
    path = Path("generated/tiny.py")
    once = (
        "        import os, sys\n"
        "        self.n = getattr(self, 'n', 0) + self.training\n"
        "        if self.n == 5 and not os.path.exists('ended'):\n"
        "            open('ended', 'w').close()\n"
        "            sys.exit(0)\n"
    )
    text = path.read_text()
    at = text.rindex("def forward")
    at = text.index("\n", at) + 1
    path.write_text(text[:at] + once + text[at:])
    told = shell(f"resgraph train generated/tiny.py {QUICK} --out run", 1)
    shell(line_of(told))
    assert open_run("run").status == "finished"


def test_diverged(project: Path) -> None:
    line = f"resgraph train specs/tiny.yaml {QUICK} --out run --lr 1e30"
    told = here(line, 1)
    lower = line_of(told)
    assert lower == "resgraph train run --overwrite --lr 1e+29"
    told = shell(lower, 1)
    assert line_of(told) == "resgraph train run --overwrite --lr 1e+28"
    here(line_of(told).replace("1e+28", "0.01"))
    assert open_run("run").status == "finished"
    assert open_run("run").about["options"]["eval_every"] == 5


NOT_BEGUN = (
    "resgraph train specs/tiny.yaml --data digits --out run",
    "resgraph train specs/tiny.yaml --data nowhere --out other",
    "resgraph train run --seed 5",
)


@pytest.mark.parametrize("line", NOT_BEGUN)
def test_no_line_for_what_was_not_begun(begun: Path, line: str) -> None:
    assert not LINE.search(here(line, 1))


def test_json_has_the_line(begun: Path) -> None:
    told = json.loads(here("resgraph train run --stop-at 5 --json"))
    assert told["next"] == "resgraph train run"
    told = json.loads(here(told["next"] + " --json"))
    assert told["next"] == "resgraph export run"
    here(told["next"])


FAILURES = {
    "memory": (torch.OutOfMemoryError("CUDA out of memory"), ""),
    "compile": (RetryError("no", "go on otherwise", "--no-compile"), " --no-compile"),
    "any": (RuntimeError("odd"), ""),
    "Ctrl-C": (KeyboardInterrupt(), ""),
}


@pytest.mark.parametrize("case", FAILURES)
def test_what_ends_a_run_has_the_line_in_its_notes(
    case: str, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the options by which it goes on, where these are known."""
    raised, options = FAILURES[case]

    def step(engine: Engine, iteration: int) -> None:
        raise raised

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "step", step)
        with pytest.raises(BaseException) as caught:  # noqa: PT011
            trained()
    assert caught.value.__notes__ == [f"go on: resgraph train {tmp_path}/run{options}"]
    assert trained(resume=True).status == "finished"


def test_half_of_what_was_planned_is_too_little_memory() -> None:
    memory = SimpleNamespace(as_dict=lambda: {"peak": 2**30})
    plan: Any = SimpleNamespace(recipe=SimpleNamespace(batch=128), recompute=memory)
    with pytest.raises(RetryError) as caught, _memory_explained(plan):
        raise torch.OutOfMemoryError
    assert caught.value.options == "--memory-budget 512MiB"


@pytest.mark.parametrize("name", ["a b", "-x", "$HOME;", "it's", "ä\nb", "t\tb", "#"])
def test_a_word_for_the_shell(name: str) -> None:
    shown = subprocess.run(
        ["bash", "-c", f"printf %s {word(Path(name))}"], capture_output=True, check=True
    )
    assert Path(shown.stdout.decode()) == Path(name)


def test_torchrun_is_named_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    from resgraph.train import again

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert again._trainer() == "torchrun --nproc-per-node 2 -m resgraph train"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert again._trainer() == "resgraph train"


# --- options by the names that are typed --------------------------------------------------


WRONG: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("log-every", "eval-every", "checkpoint-every", "stop-at"), ("0", "-3")
    ),
    "seed": ("-1",),
    "batch": ("0",),
    "lr": ("-1",),
    "schedule-scale": ("0", "-1"),
    "milestones": ("50,20",),
    "ema-start": ("3",),
    "device": ("tpu",),
    "precision": ("fp8",),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_error_names_the_option_as_typed(begun: Path, name: str) -> None:
    for value in WRONG[name]:
        for target in ("specs/tiny.yaml --data digits", "run"):
            told = here(f"resgraph train {target} --{name} {value}", 2)
            assert f"error: --{name}" in told


def test_every_option_is_typed_as_its_field() -> None:
    """So that one rule names them."""
    import typer

    from resgraph.cli import app
    from resgraph.diagnostics import option
    from resgraph.recipe.options import WORDS

    group: Any = typer.main.get_command(app)
    typed = {p.name: p.opts for p in group.commands["train"].params}
    for field in dataclasses.fields(TrainOptions):
        if field.name != "recipe":  # an option for each of its words
            assert option(field.name) in typed[field.name]
    assert typed.keys() >= {*WORDS}


def test_python_names_its_own() -> None:
    assert refused(lambda: TrainOptions(log_every=0)).startswith("log_every must be")
    both = lambda: TrainOptions(resume=True, overwrite=True)  # noqa: E731
    assert refused(both).startswith("resume and overwrite exclude each other")
    with pytest.raises(ResgraphError) as caught:
        both()
    assert caught.value.exit_code == 2
