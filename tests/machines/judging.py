"""Which checks of a verification catch a fault: the first that does, and each on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

import onnx
import torch

from resgraph.diagnostics import ResgraphError
from resgraph.emit.onnx_file import OnnxFile
from resgraph.verify import Check, Options, Present, Verdict, declared, verify
from resgraph.verify.isomorphism import Mismatch, match
from resgraph.verify.models import OnnxComparison, weights_of
from resgraph.verify.numbers import UPDATES, Batch
from resgraph.verify.structure import Flows, against_graph, flows
from resgraph.verify.training import Comparison, same_bits
from resgraph.verify.witness import Task, Witness
from tests.machines import faults_models, faults_modules
from tests.machines.networks import Compared, Named, compared, deviations

CAUGHT, MISSED, UNABLE = "caught", "missed", "cannot run"
TOLD = "told as an error"
NETWORKS = (
    Named("specs/preact_basic.yaml", "resnet20"),
    Named("specs/original_basic.yaml", "resnet20_original"),
    Named("specs/preact_bottleneck.yaml", "resnet164", ("depth=29",)),
    Named(
        "specs/exclusive_gating.yaml", "resnet110_exclusive_gating_b6", ("depth=20",)
    ),
    Named("specs/dropout_shortcut.yaml", "resnet110_dropout_shortcut", ("depth=20",)),
    Named("specs/constant_scaling.yaml", "resnet110_scale_05_05", ("depth=20",)),
    Named("tests/specs/zoo.yaml"),
    Named("tests/specs/field/densenet40.yaml"),
    Named("tests/specs/field/se_resnet50.yaml"),
    Named("tests/specs/field/vgg16_bn_bias.yaml"),
    Named("tests/specs/field/resnet18.yaml"),
    Named("tests/specs/field/mobilenet_v2.yaml"),
)
"""Networks of different kinds, small enough for hundreds of verifications."""


@dataclass
class Judgement:
    """What became of a fault."""

    network: str
    part: str
    """`module` or `ONNX`."""
    kind: str
    where: str
    first: str = ""
    """The check by which `verify` catches it; empty: it does not."""
    each: dict[str, str] = field(default_factory=dict)
    """What every check says on its own."""
    broken: str = ""
    """An error that is none of ours: a traceback before a user."""
    equal: bool = False
    """The network computes the same to the last bit: there is nothing to catch."""

    @property
    def ok(self) -> bool:
        return not self.broken and (self.equal or bool(self.first))

    def as_row(self) -> dict[str, object]:
        return {**asdict(self), "ok": self.ok}


OPTIONS = {"batch": 2}
SHARE = 3
"""Of the kinds of faults, each network takes one in so many: others than the next one."""


def judged(network: Named) -> Iterator[Judgement]:
    """The network's share of the faults of modules and models."""
    first = NETWORKS.index(network) % SHARE
    with compared(network, **OPTIONS) as one:
        modules = list(faults_modules.faults(one.source, seed=len(one.source)))
        yield from (of_module(one, fault) for fault in modules[first::SHARE])
        models = model_faults(one)
        yield from (of_model(one, fault) for fault in models[first::SHARE])


def model_faults(one: Compared) -> list[faults_models.Fault]:
    model = onnx.load(str(one.verification.model.path))
    return list(faults_models.faults(model, seed=len(one.source)))


def _attempt(found: Judgement, name: str, check: Callable[[], str]) -> None:
    """Note what a check says on its own, or that it cannot be made."""
    try:
        found.each[name] = check()
    except Exception:  # so broken that this check alone has nothing to compare
        found.each[name] = UNABLE


def _said(passed: bool) -> str:
    return MISSED if passed else CAUGHT


# --- modules ----------------------------------------------------------------------------


def of_module(one: Compared, fault: faults_modules.Fault) -> Judgement:
    """Verified as a user would, and then by each check alone."""
    found = Judgement(one.named.label, "module", fault.kind, fault.where)
    try:
        found.first = first_of(one, fault.source, **OPTIONS)
    except Exception as error:
        found.broken = f"{type(error).__name__}: {error}"
        return found
    if found.first != TOLD:
        _apart(one, one.subject(fault.source).witness, found)
    return found


def first_of(one: Compared, source: str, **options: object) -> str:
    """The check of `verify` that does not pass, of a file of this text; or none."""
    try:
        subject = one.subject(source)
        for check in verify(subject, Options(**options)):
            if check.verdict in (Verdict.failed, Verdict.unproven):
                return _class_of(check, one, subject.witness)
    except ResgraphError:
        return TOLD
    return ""


def _class_of(check: Check, one: Compared, witness: Witness) -> str:
    name = check.name.partition(":")[0]
    if name == "structure":
        return _structure(one, witness.flows(one.graph.input))
    if name in ("constants", "parameters", "initialisation"):
        return name
    return "float32" if name.startswith("torch on") else f"float64 {name}"


def _structure(one: Compared, ours: Flows) -> str:
    """Whether the first difference is an op's attribute or the graph."""
    verification = one.verification
    theirs = flows(verification.meant, one.graph.input)
    for mine, other in (
        (ours.training, theirs.training),
        (ours.inference, theirs.inference),
    ):
        if isinstance(result := match(mine, other), Mismatch):
            return kind_of(result)
    return "structure"


def kind_of(found: Mismatch) -> str:
    ours, theirs = found.our_place, found.their_place
    if ours is None or theirs is None:
        return "structure"
    same = ours.step.op == theirs.step.op and len(ours.sources) == len(theirs.sources)
    return "attribute" if same else "structure"


def _apart(one: Compared, witness: Witness, found: Judgement) -> None:
    graph, verification = one.graph, one.verification

    def start() -> str:
        initial = witness.initial(0)
        sound = declared.parameters(verification.wanted, initial, "module")
        if sound.verdict is Verdict.failed:
            return UNABLE
        return _passed(declared.start(verification.wanted, initial))

    def structure() -> str:
        theirs = flows(verification.meant, graph.input)
        return _passed(against_graph(graph, witness.flows(graph.input), theirs).check)

    def constants() -> str:
        return _passed(declared.constants(graph, witness.declared()))

    def parameters() -> str:
        initial = witness.initial(0)
        return _passed(declared.parameters(verification.wanted, initial, "module"))

    _attempt(found, "constants", constants)
    _attempt(found, "parameters", parameters)
    _attempt(found, "initialisation", start)
    _attempt(found, "structure", structure)
    _numbers(one, witness, found)
    _attempt(found, "float32", lambda: _single(one, witness))
    numeric = any(v == CAUGHT for k, v in found.each.items() if k.startswith("float"))
    found.equal = not numeric and not found.first.startswith("float64")
    found.equal = found.equal and _equal(one, witness)


def _passed(check: Check) -> str:
    return _said(check.verdict is Verdict.passed)


def _comparison(one: Compared) -> Comparison:
    """Of the network as it should be; its noisy runs are made once."""
    if not hasattr(one, "exact"):
        one.exact = one.comparison()
    return one.exact


def _task(one: Compared, batch: Batch) -> Task:
    comparison = _comparison(one)
    reference, naming = comparison.reference, comparison.naming
    trained = [*reference.exact[1][UPDATES]]
    return Task(reference.points, batch, reference.rule, trained, naming)


def numbers(one: Compared, witness: Witness) -> list[tuple[str, str]]:
    """What every quantity in float64 says, at inference and in each step."""
    reference = _comparison(one).reference
    computed = list(witness.computed(_task(one, reference.batch)))
    return [(q, _said(d.within)) for q, d in deviations(reference, computed)]


def _numbers(one: Compared, witness: Witness, found: Judgement) -> None:
    try:
        said = numbers(one, witness)
    except Exception:
        said = [(q, UNABLE) for q in _comparison(one).reference.exact[1]]
    for quantity, verdict in said:
        name = f"float64 {quantity}"
        if found.each.get(name) != CAUGHT:
            found.each[name] = verdict


def _single(one: Compared, witness: Witness) -> str:
    verification = one.verification
    images = verification.batches[-1]
    names = verification.inference.names
    found = witness.outputs(names, verification.start, images, "cpu")
    check = verification.inference.judged("torch on cpu", found, images)
    return _said(check.verdict is not Verdict.failed)


def _equal(one: Compared, witness: Witness) -> bool:
    """Constants, start and all that is computed, of usual and of larger images."""
    plain = one.verification.subject.witness
    if witness.declared() != plain.declared():
        return False
    try:
        mine, other = witness.initial(0), plain.initial(0)
        if mine.keys() != other.keys() or not same_bits(mine, other):
            return False
        reference = _comparison(one).reference
        if not _same_in_float32(one, witness, plain):
            return False
        larger = Batch(3 * reference.batch.images.flip(0), reference.batch.labels)
        return all(
            _same(witness, plain, _task(one, batch))
            for batch in (reference.batch, larger)
        )
    except Exception:
        return False


def _same_in_float32(one: Compared, *witnesses: Present) -> bool:
    """Logits in training, and at inference after it."""
    found = []
    for witness in witnesses:
        network = witness.generated.build()
        network.load_state_dict(dict(one.start), strict=False)
        torch.manual_seed(0)
        with torch.no_grad():
            images = one.verification.batch.images
            modes = (network.train, network.eval)
            found.append([mode()(images.clone()) for mode in modes])
    return all(torch.equal(*pair) for pair in zip(*found, strict=True))


def _same(ours: Witness, theirs: Witness, task: Task) -> bool:
    pairs = zip(ours.computed(task), theirs.computed(task), strict=True)
    return all(same_bits(mine[q], other[q]) for mine, other in pairs for q in other)


# --- models -----------------------------------------------------------------------------


def of_model(one: Compared, fault: faults_models.Fault) -> Judgement:
    """The model's checks, as far as they come."""
    found = Judgement(one.named.label, "ONNX", fault.kind, fault.where)
    verification = one.verification
    path = one.folder / "fault.onnx"
    onnx.save(fault.model, str(path))
    try:
        model = OnnxFile(path)
        sound = declared.parameters(verification.wanted, weights_of(model), "ONNX")
        found.each["parameters"] = _passed(sound)
        comparison = OnnxComparison(verification.inference, model)
        for check in comparison.checks(verification.batches, ["cpu"]):
            _note(found, check)
    except ResgraphError as error:
        found.each[TOLD] = f"{CAUGHT}: {error.message}"
    except Exception as error:
        found.broken = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    caught = [name for name, said in found.each.items() if said.startswith(CAUGHT)]
    found.first = caught[0] if caught else ""
    numeric = [name for name in caught if name.startswith(("float", TOLD))]
    if not numeric and not found.broken:
        found.equal = _same_outputs(one, model)
    return found


def _note(found: Judgement, check: Check) -> None:
    names = {"structure: ONNX": "ONNX structure", "ONNX in float64": "float64 ONNX"}
    name = names.get(check.name, "float32")
    said = CAUGHT if check.verdict in (Verdict.failed, Verdict.unproven) else MISSED
    if check.verdict is Verdict.skipped:
        said = UNABLE
    if found.each.get(name) != CAUGHT:
        found.each[name] = said


def _same_outputs(one: Compared, model: OnnxFile) -> bool:
    """Equal by the reference evaluator to the last bit, of usual and of larger images."""
    verification = one.verification
    plain = verification.model
    for images in verification.batches:
        for factor in (1, 3):
            given = factor * images.double().numpy()
            try:
                found, meant = model.in_float64(given), plain.in_float64(given)
                if not all((found[name] == meant[name]).all() for name in meant):
                    return False
            except ResgraphError:
                return False
    return True


def rows(network: Named) -> Iterator[Mapping[str, object]]:
    torch.set_num_threads(1)
    yield from (one.as_row() for one in judged(network))
