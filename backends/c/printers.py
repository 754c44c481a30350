"""Each op by itself as a kernel call: the table from ops to C."""

from __future__ import annotations

from . import dense, lif, moves, plain
from .dense import Printer

PRINTERS: dict[str, Printer] = {
    "nn.embed": dense.embed,
    "nn.linear": dense.linear,
    "nn.rms_norm": dense.rms_norm,
    "nn.layer_norm": dense.layer_norm,
    "nn.add": dense.pairwise("SD_ADD"),
    "nn.mul": dense.pairwise("SD_MUL"),
    "nn.scale": dense.scale,
    "nn.bias": dense.bias,
    "nn.activation": dense.activation,
    "nn.softcap": dense.softcap,
    "nn.rope": dense.rope,
    "nn.rotate": dense.rotate,
    "nn.softmax": dense.softmax,
    "nn.attend": dense.attend,
    "nn.reshape": moves.reshape,
    "nn.permute": moves.permute,
    "nn.slice": moves.slice_,
    "nn.concat": moves.concat,
    "nn.repeat": moves.repeat,
    "nn.set_apart": moves.set_apart,
    "state.append": moves.append,
    "spike.encode": plain.encode,
    "int.encode": plain.int_encode,
    "spike.linear": plain.linear,
    "spike.center": plain.center,
    "spike.sum": plain.total,
    "spike.read_out": plain.read_out,
    "spike.matmul": plain.matmul,
    "spike.read_matmul": plain.read_matmul,
    "lif.current": lif.current,
    "lif.fire": lif.fire,
    "lif.linear": lif.linear,
    "lif.coincide": lif.coincide,
    "lif.gather": lif.gather,
    "lif.both": lif.both,
    "lif.reshape": lif.reshape,
    "lif.mean": lif.mean,
}
