"""How much each encoder alone moves the model's output."""

from __future__ import annotations

import torch

from ..ir import Op, Program, Spikes
from ..ir.interpreter import KERNELS, Call, Interpreter
from .base import Context
from .twin import unspiked

_SKIPPED = 4  # the first quarter of a sequence: after a word or two a model is easily moved, and seldom asked
_CHUNK = 64  # positions whose log-probabilities are compared at once: more would not stay in a cache


def decoded(op: Op, x: torch.Tensor) -> torch.Tensor:
    """What an encoder's counts stand for, (n - z)·V: f32 of the shape of x."""
    n, v, *zero = KERNELS["spike.encode"](Call(op, (x,), (), {}, False))
    of = op.result.type
    assert isinstance(of, Spikes)
    widths = torch.tensor([s.stop - s.start for s in of.segments])
    v, *zero = (part.repeat_interleave(widths, -1) for part in (v, *zero))
    return (n - zero[0] if zero else n).float() * v


def sensitivities(program: Program, ctx: Context, encoders: list[Op], sequences: int) -> dict[str, float]:
    """KL(without spikes || with the spikes of this encoder alone), nats a token, by the encoder's first result.

    Measured on the first calibration sequences but for their first quarter, all other linear layers in floats. For a
    program without logits: the relative squared error of its outputs. The model is run once, and from each encoder to
    its end once more. (Ours.)
    """
    twin, marks = unspiked(program)
    interpreter = Interpreter(twin, ctx.store)
    ids = torch.from_numpy(ctx.tokens()[:sequences])
    whole = _late(interpreter.run({"ids": ids}))
    at = {marks[op.result.name]: op for op in encoders}
    found: dict[str, float] = {}
    state = interpreter.new_state(len(ids))
    with torch.inference_mode():
        values = interpreter.bind({"ids": ids}, state)
        for index, op in enumerate(twin.ops):
            interpreter.step(index, values, state)
            encoder = at.get(op.result.name)
            if encoder is not None:
                ctx.progress(len(found), len(at), "sensitivities")
                other = {**values, op.result.name: decoded(encoder, values[op.result.name])}
                ended = interpreter.finish(index + 1, other, state.fork())
                found[encoder.result.name] = _distance(whole, _late(ended))
    return found


def _late(outputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Outputs without the positions that are not scored: logits [positions, words], others as they are."""
    if "logits" not in outputs:
        return outputs
    logits = outputs["logits"]
    return {"logits": logits[:, logits.shape[1] // _SKIPPED :].flatten(0, -2)}


def _distance(whole: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    if "logits" in whole:
        chunks = -(-len(whole["logits"]) // _CHUNK)
        pairs = zip(*(torch.log_softmax(made["logits"], -1).chunk(chunks) for made in (whole, other)), strict=True)
        return float(sum((a.exp() * (a - b)).sum() for a, b in pairs)) / len(whole["logits"])
    errors = sum((other[name] - x).square().sum() for name, x in whole.items())
    return float(errors / sum(x.square().sum() for x in whole.values()))
