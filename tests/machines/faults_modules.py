"""Faults of generated modules: edits of their text, and changes that no structure shows."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import indent


@dataclass(frozen=True)
class Fault:
    """A changed file, the kind of the change, and where it is."""

    kind: str
    where: str
    source: str


_RELU = r"torch\.relu\("
_CALL = r"self\.(\w+)\((\w+)\)"
_CONV = r"(nn\.Conv2d\(\s*[^()]*?)"

# kind -> what is looked for, and what stands in its place at one occurrence.
EDITS: dict[str, tuple[str, str]] = {
    # activations
    "ReLU becomes leaky": (_RELU, "functional.leaky_relu("),
    "ReLU becomes ReLU6": (_RELU, "functional.relu6("),
    "ReLU becomes a sigmoid": (_RELU, "torch.sigmoid("),
    "ReLU becomes ELU": (_RELU, "functional.elu("),
    "ReLU becomes SiLU": (_RELU, "functional.silu("),
    "ReLU becomes |x|": (_RELU, "torch.abs("),
    "a ReLU is left out": (_RELU, "("),
    "a ReLU is random": (_RELU, "functional.rrelu("),
    "a sigmoid becomes tanh": (r"torch\.sigmoid\(", "torch.tanh("),
    "a sigmoid is hard": (r"torch\.sigmoid\(", "functional.hardsigmoid("),
    # the topology
    "a difference instead of the sum": (r"(?<=[a-z]) \+ (?=[a-z]+\)?  #)", " - "),
    "the larger instead of the sum": (
        r"(?<=[ (])([a-z]+) \+ ([a-z]+)(?=\)?  #)",
        r"torch.maximum(\1, \2)",
    ),
    "one operand of the sum twice": (
        r"(?<=[ (])([a-z]+) \+ ([a-z]+)(?=\)?  #)",
        r"\2 + \2",
    ),
    "a sum that is scaled": (
        r"(?<=[ (])([a-z]+) \+ ([a-z]+)(?=\)?  #)",
        r"torch.add(\1, \2, alpha=1.001)",
    ),
    "the gradient is cut": (_CALL, r"self.\1(\2.detach())"),
    "the gradient of a sum is cut": (
        r"(?<=[ (])([a-z]+) \+ ([a-z]+)(?=\)?  #)",
        r"\1.detach() + \2",
    ),
    "a layer is applied twice": (
        r"f = self\.(bn\d)\((.*)\)(?=  #)",
        r"f = self.\1(self.\1(\2))",
    ),
    "no gate": (r"1 - g\b", "g"),
    "concatenated the other way": (r"cat\(\[x, f\], 1\)", "cat([f, x], 1)"),
    "another layer's weights": (r"self\.conv2\(", "self.conv1("),
    "another BN": (r"self\.bn2\(", "self.bn1("),
    "a unit more": (r"range\(2\)", "range(3)"),
    "a unit less": (r"range\(3\)", "range(2)"),
    "units that share their layers": (
        r"\*\((\w+\([^()]*\)) for _ in range\((\d)\)\)",
        r"*([\1] * \2)",
    ),
    # convolutions
    "no stride": (r"stride=2", "stride=1"),
    "a stride": (r"(, 3), padding=1", r"\1, stride=2, padding=1"),
    "no padding": (r"padding=1", "padding=0"),
    "more padding": (r"padding=1", "padding=2"),
    "a dilation": (r"padding=1(?!\))", "padding=2, dilation=2"),
    "another padding mode": (
        r"padding=1, bias",
        'padding=1, padding_mode="reflect", bias',
    ),
    "circular padding": (
        r"padding=1, bias",
        'padding=1, padding_mode="circular", bias',
    ),
    "groups": (r"padding=1, bias", "padding=1, groups=2, bias"),
    "no groups": (r" groups=[^,]*,", " groups=1,"),
    "a bias": (r"bias=False", "bias=True"),
    "no bias": (rf"{_CONV}, 1\)", r"\1, 1, bias=False)"),
    "another kernel": (r", 3, padding=1", ", 5, padding=2"),
    "a smaller kernel": (r", 3, padding=1", ", 1, padding=0"),
    # normalisation
    "another eps": (r"(nn\.BatchNorm2d\([^(),=]*)\)", r"\1, eps=1.001e-5)"),
    "another momentum": (r"(nn\.BatchNorm2d\([^(),=]*)\)", r"\1, momentum=0.11)"),
    "a cumulative average": (r"(nn\.BatchNorm2d\([^(),=]*)\)", r"\1, momentum=None)"),
    "BN without a scale": (r"(nn\.BatchNorm2d\([^(),=]*)\)", r"\1, affine=False)"),
    "BN of the batch alone": (
        r"(nn\.BatchNorm2d\([^(),=]*)\)",
        r"\1, track_running_stats=False)",
    ),
    "instance normalisation": (
        r"nn\.BatchNorm2d\(([^(),=]*)\)",
        r"nn.InstanceNorm2d(\1, affine=True, track_running_stats=True)",
    ),
    "group normalisation": (
        r"nn\.BatchNorm2d\(([^(),=]*)\)",
        r"nn.GroupNorm(2, \1)",
    ),
    # dropout, pooling, constants
    "another rate of dropout": (r"nn\.Dropout\(([\d.]+)\)", r"nn.Dropout(\g<1>1)"),
    "no dropout": (r"nn\.Dropout\([\d.]+\)", "nn.Dropout(0.0)"),
    "dropout of channels": (r"nn\.Dropout\(", "nn.Dropout2d("),
    "the largest instead of the mean": ("adaptive_avg_pool2d", "adaptive_max_pool2d"),
    "the mean of a part": (
        r"adaptive_avg_pool2d\((\w), 1\)",
        r"adaptive_avg_pool2d(\1[:, :, 1:], 1)",
    ),
    "the mean of a larger map": (
        r"adaptive_avg_pool2d\((\w), 1\)",
        r"adaptive_avg_pool2d(functional.pad(\1, (0, 1)), 1)",
    ),
    "the mean instead of the largest": (r"nn\.MaxPool2d", "nn.AvgPool2d"),
    "the last windows are kept": (
        r"(nn\.MaxPool2d\([^()]*)\)",
        r"\1, ceil_mode=True)",
    ),
    "the padding is not counted": (
        r"(nn\.AvgPool2d\([^()]*)\)",
        r"\1, count_include_pad=False)",
    ),
    "another divisor": (
        r"(nn\.AvgPool2d\([^()]*)\)",
        r"\1, divisor_override=3)",
    ),
    "a pooling of other windows": (r"nn\.MaxPool2d\(3,", "nn.MaxPool2d(2,"),
    "a constant a thousandth off": (r"(damp|shortcut|residual)=(0\.5)\b", r"\1=0.5005"),
    "the other pixels": (r"x\[:, :, :: self\.stride", "x[:, :, 1 :: self.stride"),
    "zeros on the other side": (
        r"\(0, 0, 0, 0, 0, self\.extra\)",
        "(0, 0, 0, 0, self.extra, 0)",
    ),
    "ones in the place of zeros": (
        r"\(0, 0, 0, 0, 0, self\.extra\)",
        "(0, 0, 0, 0, 0, self.extra), value=1e-3",
    ),
    # constants of the file and the start
    "another weight decay": (r'"weight_decay": [\d.e-]+', '"weight_decay": 0.0002'),
    "another momentum of SGD": (r'"momentum": [\d.]+', '"momentum": 0.91'),
    "another learning rate": (r'"lr": [\d.]+', '"lr": 0.11'),
    "Nesterov's momentum": (r'"nesterov": False', '"nesterov": True'),
    "another batch": (r'"batch": \d+', '"batch": 64'),
    "another warm-up": (r'"warmup_lr": [\d.]+', '"warmup_lr": 0.02'),
    "another input": (r"INPUT_SHAPE = \((\d+), ", r"INPUT_SHAPE = (1 + \1, "),
    "a larger input": (r"INPUT_SHAPE = \((\d+), (\d+)", r"INPUT_SHAPE = (\1, 2 * \2"),
    "He's start by fan-in": (r'mode="fan_out"', 'mode="fan_in"'),
    "a start of another gain": (r'mode="fan_out"', 'mode="fan_out", a=0.3'),
    "a bias that starts at one": (r"zeros_\(self", "ones_(self"),
    "another start of the gate": (r"constant_\((\S+), ", r"constant_(\1, 0.5 + "),
}

# Changes of the built network: `layers` are its convolutions, `norms` its BNs, `pick` chooses.
HIDDEN: dict[str, str] = {
    "a convolution a thousandth off": """
def off(module, given, result):
    result.data.mul_(1.001)
pick(layers).register_forward_hook(off)
""",
    "a channel a thousandth off": """
def off(module, given, result):
    result.data[:, 1].mul_(1.001)
pick(layers).register_forward_hook(off)
""",
    "one number of a weight off": """
def off(module, given):
    module.weight.data.view(-1)[3] *= 1.01
pick(layers).register_forward_pre_hook(off)
""",
    "one image of the batch off": """
def off(module, given, result):
    result.data[-1].mul_(1.001)
pick(layers).register_forward_hook(off)
""",
    "one pixel off": """
def off(module, given, result):
    result.data[..., 0, 0].mul_(1.01)
pick(layers).register_forward_hook(off)
""",
    "computed in bfloat16": """
def off(module, given, result):
    result.data.copy_(result.data.to(torch.bfloat16))
pick(layers).register_forward_hook(off)
""",
    "rounded to a grid": """
def off(module, given, result):
    result.data.copy_((result.data * 2.0**20).round() / 2.0**20)
pick(layers).register_forward_hook(off)
""",
    "small values become zero": """
def off(module, given, result):
    result.data[result.data.abs() < 1e-3] = 0
pick(layers).register_forward_hook(off)
""",
    "large values are cut": """
def off(module, given, result):
    result.data.clamp_(max=float(result.data.max()) * 0.9)
pick(layers).register_forward_hook(off)
""",
    "a clamped weight": """
def off(module, given):
    module.weight.data.clamp_(-0.1, 0.1)
pick(layers).register_forward_pre_hook(off)
""",
    "weights that are normalised": """
def off(module, given):
    module.weight.data.sub_(module.weight.data.mean())
pick(layers).register_forward_pre_hook(off)
""",
    "a gradient scaled": """
pick(layers).weight.register_hook(lambda g: 1.001 * g)
""",
    "a gradient that is zero": """
pick(layers).weight.register_hook(lambda g: 0 * g)
""",
    "a gradient's sign": """
pick(norms or layers).weight.register_hook(lambda g: -g)
""",
    "a gradient with weight decay": """
parameter = pick(layers).weight
parameter.register_hook(lambda g: g + 1e-4 * parameter)
""",
    "a gradient that is clipped": """
pick(layers).weight.register_hook(lambda g: g.clamp(max=float(g.max()) * 0.5))
""",
    "a gradient of the map scaled": """
def off(module, given, result):
    if result.requires_grad:
        result.register_hook(lambda g: 1.001 * g)
pick(layers).register_forward_hook(off)
""",
    "a gradient of the map that is cut for one image": """
def off(module, given, result):
    if result.requires_grad:
        result.register_hook(lambda g: torch.cat([g[:1], 0 * g[1:]]))
pick(layers).register_forward_hook(off)
""",
    "a parameter that is not trained": """
pick(norms or layers).weight.requires_grad_(False)
""",
    "a bias that is not trained": """
linear = [m for m in self.modules() if isinstance(m, nn.Linear) and m.bias is not None]
pick(linear).bias.requires_grad_(False)
""",
    "the variance of the batch is biased": """
def off(module, given, result):
    if module.training:
        count = given[0].numel() / given[0].shape[1]
        share = module.momentum
        variance = given[0].data.var((0, 2, 3), unbiased=False)
        module.running_var.data.sub_(share * variance / (count - 1))
pick(norms).register_forward_hook(off)
""",
    "the statistics twice": """
def off(module, given, result):
    if module.training:
        functional.batch_norm(
            given[0].data, module.running_mean, module.running_var, None, None, True,
            module.momentum,
        )
pick(norms).register_forward_hook(off)
""",
    "the statistics not": """
def keep(module, given):
    module.kept = module.running_mean.clone(), module.running_var.clone()
def off(module, given, result):
    if module.training:
        module.running_mean.data.copy_(module.kept[0])
        module.running_var.data.copy_(module.kept[1])
norm = pick(norms)
norm.register_forward_pre_hook(keep)
norm.register_forward_hook(off)
""",
    "a mean that drifts at inference": """
def off(module, given, result):
    if not module.training:
        result.data.add_(0.001)
pick(norms).register_forward_hook(off)
""",
    "the batch's statistics at inference": """
def off(module, given, result):
    if not module.training:
        result.data.copy_(functional.batch_norm(
            given[0].data, None, None, module.weight.data, module.bias.data, True
        ))
pick(norms).register_forward_hook(off)
""",
    "other from the second call on": """
calls = []
def off(module, given, result):
    calls.append(0)
    if len(calls) > 1:
        result.data.mul_(1.001)
pick(layers).register_forward_hook(off)
""",
    "other from the third step on": """
calls = []
def off(module, given, result):
    if module.training:
        calls.append(0)
    if len(calls) > 2:
        result.data.mul_(1.001)
pick(layers).register_forward_hook(off)
""",
    "in training alone": """
def off(module, given, result):
    if module.training:
        result.data.mul_(1.001)
pick(layers).register_forward_hook(off)
""",
    "at inference alone": """
def off(module, given, result):
    if not module.training:
        result.data.mul_(1.001)
pick(layers).register_forward_hook(off)
""",
    "in float32 alone": """
def off(module, given, result):
    if result.dtype == torch.float32:
        result.data.mul_(1.001)
pick(layers).register_forward_hook(off)
""",
    "in float32 and in training alone": """
def off(module, given, result):
    if result.dtype == torch.float32 and module.training:
        result.data.mul_(1.001)
pick(layers).register_forward_hook(off)
""",
    "noise in training": """
def off(module, given, result):
    if module.training:
        result.data.add_(1e-3 * torch.randn(result.shape, dtype=result.dtype))
pick(layers).register_forward_hook(off)
""",
    "noise at inference": """
def off(module, given, result):
    if not module.training:
        result.data.add_(1e-6 * torch.randn(result.shape, dtype=result.dtype))
pick(layers).register_forward_hook(off)
""",
    "weights that change at inference": """
def off(module, given):
    module.weight.data.mul_(0.999)
pick(layers).register_forward_pre_hook(off)
""",
    "the wrong logits": """
def off(module, given, result):
    result.data.copy_(result.data.roll(1, 1))
self.register_forward_hook(off)
""",
    "an offset of the logits": """
def off(module, given, result):
    result.data.add_(1e-6)
self.register_forward_hook(off)
""",
    "the image is changed": """
def off(module, given):
    given[0].data.mul_(0.9999)
self.register_forward_pre_hook(off)
""",
}

_HIDDEN = """

def _changed(self, made={network}.__init__):
    import random
    made(self)
    pick = random.Random({seed}).choice
    layers = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in self.modules() if isinstance(m, nn.BatchNorm2d)]
{body}


{network}.__init__ = _changed
"""


def faults(source: str, seed: int) -> Iterator[Fault]:
    """Every fault of the kinds that the file has a place for, at a random one."""
    chance = random.Random(seed)
    for kind, (pattern, replacement) in EDITS.items():
        found = list(re.finditer(pattern, source))
        if found:
            yield _edited(kind, source, chance.choice(found), replacement)
    for kind, body in HIDDEN.items():
        if "norms)" in body and "nn.BatchNorm2d(" not in source:
            continue
        yield _hidden(kind, source, body, chance.randrange(1000))


def _edited(kind: str, source: str, match: re.Match[str], replacement: str) -> Fault:
    changed = match.expand(replacement)
    line = source.count("\n", 0, match.start()) + 1
    text = source[: match.start()] + changed + source[match.end() :]
    return Fault(kind, f"line {line}", text)


def _hidden(kind: str, source: str, body: str, seed: int) -> Fault:
    network = re.search(r'^    "(\w+)",$', source, re.MULTILINE)
    assert network is not None
    text = _HIDDEN.format(
        network=network[1], seed=seed, body=indent(body.strip(), "    ")
    )
    return Fault(kind, "the built module", source + text)
