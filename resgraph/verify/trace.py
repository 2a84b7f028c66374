"""A module's computation as a graph of steps, found by running it without a number.

The module runs on torch's `meta` device, where tensors have shapes and no contents, while
every call of a torch function is written down. That follows `if`s on shapes, needs no
proxies, and sees through in-place ops, since a value is the tensor object that holds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from resgraph.diagnostics import ResgraphError
from resgraph.verify.aliases import VIEWS, Aliases
from resgraph.verify.calls import Call, Label, function_name, named
from resgraph.verify.fills import fill_of
from resgraph.verify.flow import INPUT, Flow, Step, live
from resgraph.verify.labels import labels
from resgraph.verify.returned import returned
from resgraph.verify.shapes import shape_of

BATCH = 2
_FRESH = count()
_CHANGED = "changed through a view"
"""What a value becomes when another that shares its memory is written to."""
_MOVES = ("to", "type", "cpu", "cuda")
_MAKERS = ("arange", "empty", "eye", "full", "linspace", "ones", "tensor", "zeros")


def trace(network: nn.Module, input_shape: Sequence[int], training: bool) -> Flow:
    """The flow of a network in training mode or at inference, from shapes alone.

    `network` may be on any device; it is left as it is. Raises `ResgraphError` if its
    forward fails, or depends on numbers.
    """
    try:
        tensors = dict(_tensors_of(network))
        shapes = {id(t): t.detach().to("meta") for t in tensors.values()}
        state = {name: shapes[id(tensor)] for name, tensor in tensors.items()}
        with _mode(network, training):
            image = torch.empty(BATCH, *input_shape, device="meta")
            return _flow(network, image, state, keep=False)
    except ResgraphError:
        raise
    except Exception as error:  # whatever a foreign forward may raise
        raise ResgraphError(
            f"{type(network).__name__} cannot be traced on images of {list(input_shape)}: "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            "its forward must take one batch of images, and go the same way whatever "
            "numbers it is given",
        ) from None


def record(network: nn.Module, images: Tensor) -> Flow:
    """The flow of a network on real images, with the value of every step.

    The mode, training or not, is the network's own.
    """
    return _flow(network, images, dict(_tensors_of(network)), keep=True)


def _tensors_of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers by name: in each module that has them, each module once."""
    for name, module in network.named_modules():
        yield from module.named_parameters(name, recurse=False)
        yield from module.named_buffers(name, recurse=False)


@contextmanager
def _mode(network: nn.Module, training: bool) -> Iterator[None]:
    """Training mode or not, for a while."""
    before = [(module, module.training) for module in network.modules()]
    network.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


def _flow(
    network: nn.Module, images: Tensor, state: dict[str, Tensor], keep: bool
) -> Flow:
    """Run the network with `state` in place of its own tensors, and write down what it does."""
    tracer = _Tracer(state, images, keep)
    with torch.no_grad(), _scopes(network, tracer), tracer:
        # Tied anew, a module that has two names would keep what stands in for its tensors.
        output = functional_call(network, state, images, tie_weights=False)
    found = returned(output, type(network).__name__)
    if any(id(tensor) not in tracer.values for _, tensor in found):
        raise ResgraphError(
            f"{type(network).__name__} returns a tensor that no call of a torch function "
            "computes from its input",
            "a network that transforms functions (torch.vmap, torch.func) cannot be traced",
        )
    last = [tracer.values[id(tensor)] for _, tensor in found]
    steps, place = live(tracer.steps, last)
    origin = {j: i for i, j in reversed(place.items()) if i != INPUT}
    values = tuple(tracer.kept[origin[j]] for j in range(len(steps))) if keep else ()
    return Flow(
        tuple(steps),
        tuple(place[i] for i in last),
        tracer.sequence.hexdigest(),
        tuple(images.shape[1:]),
        values,
        fixed=frozenset(n for n, t in _tensors_of(network) if not t.requires_grad),
        draws=tuple(place.get(step, INPUT) for step in tracer.draws),
        names=tuple(name for name, _ in found),
    )


class _Tracer(TorchFunctionMode):
    """Writes down every call of a torch function."""

    def __init__(self, state: dict[str, Tensor], images: Tensor, keep: bool) -> None:
        super().__init__()
        self.state = {id(t): name for name, t in reversed(state.items())}
        self.values = {id(images): INPUT}
        self.steps: list[Step] = []
        self.draws: list[int] = []
        self.kept: list[Tensor] = []
        self.keep = keep
        self.scopes = [""]
        self.filled: dict[int, float] = {}
        self.sequence = hashlib.sha256()
        self.aliases = Aliases()
        self._stand_ins: dict[int, Tensor] = {}
        self.alive: list[Any] = []  # so that no id comes twice

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = function_name(func)
        args, kwargs = self._given(args), self._given(kwargs or {})
        arguments = named(name, args, kwargs)
        tensors = list(_tensors(arguments))
        shapes = [tuple(t.shape) for _, t in tensors]
        result = self._result(func, name, arguments, args, kwargs)
        if name == "setitem":
            result = arguments["input"]
        if isinstance(result, Tensor):
            self._write(name, arguments, tensors, shapes, result)
        elif isinstance(result, list | tuple):
            self._write_parts(name, arguments, tensors, shapes, result)
        if args and isinstance(args[0], Tensor):
            self._share(func, name, arguments, args[0], result)
        return result

    def _given(self, value: Any) -> Any:
        """Arguments as torch would take them here: numpy's numbers, tensors from elsewhere."""
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, dict):
            return {key: self._given(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._given(item) for item in value)
        if isinstance(value, Tensor) and not self.keep and not value.is_meta:
            return self._placed(value)
        return value

    def _placed(self, tensor: Tensor) -> Tensor:
        """What stands in for a tensor that the module has made of numbers; one for each."""
        if id(tensor) not in self._stand_ins:
            with torch._C.DisableTorchFunction():
                stand_in = tensor.detach().to("meta")
                first = tensor.flatten()[:1]
                if tensor.numel() and bool((tensor == first).all()):
                    self.filled[id(stand_in)] = float(first)
            self._stand_ins[id(tensor)] = stand_in
            self.alive.append(tensor)
        return self._stand_ins[id(tensor)]

    def _share(
        self,
        func: Callable[..., Any],
        name: str,
        arguments: dict[str, Any],
        first: Tensor,
        result: Any,
    ) -> None:
        """Note the views of a tensor; a change of one changes what shares its memory."""
        if name == "setitem" or arguments.get("inplace") or _in_place(func):
            for other in self.aliases.sharing(first):
                self._change(other, first)
        elif name in VIEWS:
            parts = result if isinstance(result, list | tuple) else (result,)
            for part in parts:
                if isinstance(part, Tensor):
                    self.aliases.made(first, part)

    def _change(self, tensor: Tensor, by: Tensor) -> None:
        """A value that another value has been written into."""
        self.filled.pop(id(tensor), None)
        if id(tensor) not in self.values:
            return
        sources = [self.values[id(t)] for t in (tensor, by) if id(t) in self.values]
        fresh = () if len(sources) == 2 else (("constant", next(_FRESH)),)
        label = Label(_CHANGED, fresh)
        self.values[id(tensor)] = self._step(label, tuple(sources), (), tensor)

    def _write_parts(
        self,
        name: str,
        arguments: dict[str, Any],
        tensors: list[tuple[str, Tensor]],
        shapes: list[tuple[int, ...]],
        parts: Sequence[Any],
    ) -> None:
        """The tensors that one call returns, each with where it starts along the axis."""
        dim, start = arguments.get("dim", 0), 0
        for i, part in enumerate(parts):
            if isinstance(part, Tensor):
                many = arguments | {"part": i}
                self._write(name, many, tensors, shapes, part, start)
                has_axis = isinstance(dim, int) and dim < part.dim()
                start += part.shape[dim] if has_axis else 0

    def _result(
        self,
        func: Callable[..., Any],
        name: str,
        arguments: dict[str, Any],
        args: Any,
        kwargs: dict[str, Any],
    ) -> Any:
        """The call's result; without numbers, from its shape where that is known."""
        if self.keep:
            return func(*args, **kwargs)
        if name in _MOVES and len(args) + len(kwargs) > (name == "type"):
            return _moved(args[0], [*args[1:], *kwargs.values()])
        if not (arguments.get("inplace") or _in_place(func)):
            shape = shape_of(name, arguments)
            if shape is not None:
                return torch.empty(shape, device="meta", dtype=arguments["input"].dtype)
        elif name == "relu" or id(arguments.get("input")) in self.state:
            # The module's own state, such as BN's count of batches, has no numbers here.
            return arguments["input"]
        if name in _MAKERS:
            kwargs = {"device": "meta"} | kwargs
        return func(*args, **kwargs)

    def _write(
        self,
        name: str,
        arguments: dict[str, Any],
        tensors: list[tuple[str, Tensor]],
        shapes: list[tuple[int, ...]],
        result: Tensor,
        start: int = 0,
    ) -> None:
        inputs = [
            self.values[id(t)]
            for _, t in tensors
            if id(t) in self.values and id(t) not in self.state
        ]
        weights = tuple(
            (role, self.state[id(t)], tuple(t.shape))
            for role, t in tensors
            if id(t) in self.state
        )
        filled = tuple(self.filled.get(id(t)) for _, t in tensors)
        plain = {k: None if _has_tensor(v) else v for k, v in arguments.items()}
        call = Call(name, plain, tuple(shapes), tuple(result.shape), filled, start)
        self.alive.append((result, tensors))
        number = fill_of(call)
        if number is not None:
            self.filled[id(result)] = number
            self.values.pop(id(result), None)
            return
        if not inputs and not weights and not tensors:
            return
        value = inputs[0] if inputs else None
        found = labels(call)
        if found:
            found[0] = self._with_unknown(found[0], tensors)
        self.filled.pop(id(result), None)
        self.sequence.update(repr((name, inputs, _told(found))).encode())
        for i, label in enumerate(found):
            sources = tuple(inputs) if i == 0 else (len(self.steps) - 1,)
            value = self._step(label, sources, weights if i == 0 else (), result)
        if value is not None and id(result) not in self.state:
            self.values[id(result)] = value
        elif not found and len(weights) == 1:  # a parameter as it is, or its copy
            self.state[id(result)] = weights[0][1]

    def _with_unknown(
        self, label: Label, tensors: Sequence[tuple[str, Tensor]]
    ) -> Label:
        """The label, unlike any other where it reads a tensor of which nothing is known."""
        if all(self._known(id(t)) for _, t in tensors):
            return label
        fresh = ("constant", next(_FRESH))
        return label._replace(attributes=(*label.attributes, fresh))

    def _known(self, key: int) -> bool:
        return key in self.values or key in self.state or key in self.filled

    def _step(
        self, label: Label, inputs: tuple[int, ...], weights: Any, result: Tensor
    ) -> int:
        shape = tuple(result.shape[1:]) if label.shape is None else label.shape
        scope = self.scopes[-1]
        step = Step(label.op, label.attributes, inputs, weights, scope, shape)
        if label.op == "dropout":
            self.draws.append(len(self.steps))
        self.steps.append(step)
        if self.keep:
            value = result.detach().clone()
            between = label.shape is not None and tuple(result.shape[1:]) != shape
            self.kept.append(value.reshape(-1, *shape) if between else value)
        return len(self.steps) - 1


def _told(found: Sequence[Label]) -> list[Any]:
    """The labels with their arguments as written: other ones may round in another way."""
    return [
        (op, [(name, str(value)) for name, value in chosen]) for op, chosen, _ in found
    ]


def _moved(tensor: Tensor, given: Sequence[Any]) -> Tensor:
    """A tensor after a cast, which stays where there are no numbers."""
    dtypes = [a.dtype if isinstance(a, Tensor) else a for a in given]
    dtype = next((d for d in dtypes if isinstance(d, torch.dtype)), tensor.dtype)
    return tensor.to(dtype)


def _in_place(func: Callable[..., Any]) -> bool:
    """Whether the function changes its first argument: `add_`, `__iadd__`."""
    name = getattr(func, "__name__", "")
    return name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))


def _tensors(arguments: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for name, value in arguments.items():
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, list | tuple):
            yield from ((name, item) for item in value if isinstance(item, Tensor))


def _has_tensor(value: Any) -> bool:
    items = value if isinstance(value, list | tuple) else (value,)
    return any(isinstance(item, Tensor) for item in items)


@contextmanager
def _scopes(network: nn.Module, tracer: _Tracer) -> Iterator[None]:
    """Let the tracer know in which module it is; a network may have scopes of its own."""
    names = {id(module): name for name, module in network.named_modules()}

    def enter(module: nn.Module, args: Any) -> None:
        tracer.scopes.append(names.get(id(module), tracer.scopes[-1]))

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        tracer.scopes.pop()

    handles = [
        hooks.register_module_forward_pre_hook(enter),
        hooks.register_module_forward_hook(leave, always_call=True),
    ]
    before = getattr(network, "_scopes", None)
    if before is not None:
        setattr(network, "_scopes", tracer.scopes)  # noqa: B010 (no attribute of nn.Module)
    try:
        yield
    finally:
        if before is not None:
            setattr(network, "_scopes", before)  # noqa: B010
        for handle in handles:
            handle.remove()
