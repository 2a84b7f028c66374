"""What `train` is given, resolved: a generated file, a spec or a run folder, and options."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from resgraph.cli.behind import classifying
from resgraph.cli.common import require_file, telling_compiler, warn
from resgraph.diagnostics import ResgraphError, UsageError, plain
from resgraph.files import is_there
from resgraph.provenance import SPEC
from resgraph.recipe.options import WORDS
from resgraph.settings import parse_settings

if TYPE_CHECKING:
    from resgraph.origin import Source
    from resgraph.train import RunFolder, TrainOptions

_SPECS = (".yaml", ".yml")
_NOT_OF_TRAINING = ("targets", "network", "settings", "json", "allow_outside")


@dataclass(frozen=True)
class Task:
    """A network's source, and how it is trained."""

    source: Source
    options: TrainOptions


@dataclass(frozen=True)
class Asked:
    """What was typed: the file, the run folder, which of a spec's networks, the options."""

    file: Path | None
    folder: Path | None
    network: str | None
    settings: list[str]
    chosen: Mapping[str, Any]
    """The options that were typed, as `TrainOptions` has them."""

    def source(self) -> Source:
        """The file's text beside its spec's, or what the spec compiles to."""
        if self.file is None:
            raise UsageError(
                "there is nothing to train",
                "name a generated file, a spec or a run folder",
            )
        require_file(self.file)
        if self.file.suffix in _SPECS:
            return compiled(self.file, self.network, self.settings)
        if self.network is not None or self.settings:
            raise UsageError(
                f"{plain(self.file)} is one network: --network and --set are for specs"
            )
        from resgraph.origin import read_source

        return read_source(self.file, compiler=telling_compiler())


def typed(context: typer.Context) -> dict[str, Any]:
    """The options of training that are on the command line, and their values; not those of
    the recipe, which are read by it."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {
        name: context.params[name]
        for name, source in sources.items()
        if name not in (*_NOT_OF_TRAINING, *WORDS)
        and source is not None
        and source.name == "COMMANDLINE"
    }


def asked(
    targets: Sequence[Path],
    network: str | None,
    settings: list[str],
    chosen: Mapping[str, Any],
) -> Asked:
    """The targets told apart. Raises `UsageError` for what can be none, or too many."""
    folders = [path for path in targets if path.is_dir()]
    files = [path for path in targets if path not in folders]
    wrong = len(folders) > 1 or len(files) > 1
    if wrong or (folders and files and not chosen.get("resume")):
        raise UsageError(
            f"{len(targets)} things to train at once: {', '.join(map(plain, targets))}",
            "name one; resgraph sweep trains several",
        )
    folder, file = next(iter(folders), None), next(iter(files), None)
    if folder is not None and (network is not None or settings):
        raise UsageError(f"{plain(folder)} is a run: --network and --set are for specs")
    if file is not None and not chosen.get("resume"):
        require_file(file)
    return Asked(file, folder, network, settings, chosen)


def task(what: Asked) -> Task:
    """What is to be trained, and how: of a run that is gone on with, what it kept.

    Of several ranks, the first alone tells errors.
    """
    try:
        return _task(what)
    except ResgraphError:
        if _first_rank():
            raise
        raise typer.Exit(1) from None


def _task(what: Asked) -> Task:
    from resgraph.train import TrainOptions, open_run

    folder = what.folder
    if folder is None and what.chosen.get("resume"):
        folder = _folder_of(what)
    if folder is None:
        return Task(classifying(what.source()), TrainOptions(**what.chosen))
    run = open_run(folder)
    options = _restored(run, what.chosen)
    return Task(_source_of(run, what), options)


def compiled(spec: Path, network: str | None, settings: list[str]) -> Source:
    """What the spec's network compiles to. Raises `UsageError` where it has several."""
    from resgraph.origin import compiled_source

    values = parse_settings(settings)
    graphs = telling_compiler().graphs(spec, network, values)
    if len(graphs) > 1:
        names = ", ".join(graph.name for graph in graphs)
        raise UsageError(
            f"{plain(spec)} has {len(graphs)} networks: {names}",
            "choose one with --network, or train them all with resgraph sweep",
        )
    return compiled_source(spec, network, values, graphs[0])


# --- a run that is gone on with ---------------------------------------------------------


def _folder_of(what: Asked) -> Path | None:
    """The run folder that `--resume` means beside a file; None where there is none.

    Without `--out` it is the file's run with that seed, on whichever data.
    """
    if (out := what.chosen.get("out")) is not None:
        return Path(out) if (Path(out) / "run.json").exists() else None
    if what.file is None:
        raise UsageError("--resume alone names no run", "name its folder: --resume RUN")
    there = sorted(Path("runs").glob(f"*-s{what.chosen.get('seed', 0)}/run.json"))
    found = [path.parent for path in there if _is_of(path.parent, what)]
    if len(found) > 1:
        names = ", ".join(plain(folder.as_posix()) for folder in found)
        raise UsageError(f"--resume may mean {names}", "name one: --resume RUN")
    return found[0] if found else None


def _is_of(folder: Path, what: Asked) -> bool:
    """Whether a run is the file's, of the network and on the data that are asked for."""
    from resgraph.train import open_run

    try:
        run = open_run(folder)
    except ResgraphError:
        return False
    assert what.file is not None
    given = Path(run.about["generated"]) == what.file
    mine = given or (what.file.suffix == ".py" and run.network == what.file.stem)
    named = what.network in (None, run.network)
    data = what.chosen.get("data")
    return mine and named and data in (None, run.about["data"], run.options.data)


def _restored(run: RunFolder, chosen: Mapping[str, Any]) -> TrainOptions:
    """The run's options, and what is chosen now in their places.

    With `--overwrite` or another `--out` they are a new run's. Else its recipe is its own
    where nothing of one is chosen, whatever would be made of the options today.
    """
    from resgraph.train.options import OF_THE_RECIPE

    kept = run.options
    if "data" not in chosen:
        kept = replace(kept, data=_data_of(run, kept.data))
    elsewhere = chosen.get("out") not in (None, run.folder)
    if chosen.get("overwrite") or (elsewhere and not chosen.get("resume")):
        return kept.with_chosen(chosen)
    if not {*OF_THE_RECIPE} & chosen.keys():
        kept = kept.without_recipe()
    return kept.with_chosen({**chosen, "resume": True})


def _data_of(run: RunFolder, data: str) -> str:
    """The data as they were given; seen from the folder, where they are not here."""
    from_folder = run.about["data_at"]
    if from_folder is None or is_there(data):
        return data
    return Path(os.path.normpath(run.folder / from_folder)).as_posix()


def _source_of(run: RunFolder, what: Asked) -> Source:
    """The run's own copy of what it trains, and a word where the original is another.

    The original, if the copy is damaged; a file that is not the original as it is given.
    """
    original = Path(run.about["generated"])
    if what.file is not None and what.file != original:
        return what.source()
    mine, damage = _copy_of(run)
    if mine is None:
        _note(f"{plain(run.generated)}: {damage}; the run goes on with {original}")
        return Asked(original, None, what.network, what.settings, {}).source()
    if (why := _changed(original, mine)) is not None:
        _note(f"{why}\n  the run goes on with its own copy, {plain(run.generated)}")
    return mine


def _copy_of(run: RunFolder) -> tuple[Source | None, str]:
    """The folder's generated file beside its spec, or what is wrong with them."""
    from resgraph.origin import read_source
    from resgraph.train.about import fingerprint

    try:
        source = read_source(run.generated, run.folder / SPEC)
    except ResgraphError as error:
        return None, error.message
    spec = SPEC in run.about["files"] and not (run.folder / SPEC).is_file()
    if spec and is_there(run.about["generated"]):
        return None, f"its {SPEC} is not there"
    wanted = run.about["files"].get(run.generated.name)
    if wanted not in (None, fingerprint(source.text)):
        return None, "it was changed since it was put there"
    return source, ""


def _changed(original: Path, mine: Source) -> str | None:
    """How the file that the run was begun with is no longer what it was, in words."""
    from resgraph.compiler import Compiler
    from resgraph.origin import read_source

    if not is_there(original):
        return f"{plain(original)} is not here"
    try:
        if original.suffix in _SPECS:
            assert mine.origin is not None
            replace(mine.origin, spec=original).graph(Compiler())
        elif read_source(original).text != mine.text:
            return f"{plain(original)} has changed since the run was begun"
    except ResgraphError as error:
        named = str(original) in error.message
        return error.message if named else f"{plain(original)}: {error.message}"
    return None


def _note(text: str) -> None:
    if _first_rank():
        warn(text)


def _first_rank() -> bool:
    return os.environ.get("RANK", "0") == "0"
