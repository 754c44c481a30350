"""The table from ops to what they become: calls of functions of the model's, or standard nodes alone."""

from __future__ import annotations

from . import attention, dense, encode, fast, lif, moves, spikes
from .emitter import Form

PRINTERS: dict[str, Form] = {
    "nn.embed": Form(dense.embed),
    "nn.linear": Form(dense.linear),
    "nn.rms_norm": Form(dense.rms_norm),
    "nn.layer_norm": Form(dense.layer_norm),
    "nn.add": Form(dense.pairwise),
    "nn.mul": Form(dense.pairwise),
    "nn.scale": Form(dense.scale),
    "nn.bias": Form(dense.bias),
    "nn.activation": Form(dense.activation),
    "nn.softcap": Form(dense.softcap),
    "nn.rope": Form(dense.rope),
    "nn.reshape": Form(moves.reshape),
    "nn.permute": Form(moves.permute),
    "nn.slice": Form(moves.slice_),
    "nn.concat": Form(moves.concat),
    "nn.repeat": Form(moves.repeat),
    "nn.set_apart": Form(moves.set_apart),
    "nn.rotate": Form(moves.rotate, "Rotate"),
    "nn.attend": Form(attention.attend, "Attend"),
    "nn.softmax": Form(attention.softmax, "MaskedSoftmax"),
    "state.append": Form(moves.append),
    "spike.encode": Form(encode.encode, "SpikeEncode"),
    "int.encode": Form(encode.int_encode, "IntEncode"),
    "spike.linear": Form(spikes.linear, "SpikeLinear", fast.linear),
    "spike.center": Form(spikes.center, "SpikeCenter", fast.center),
    "spike.sum": Form(spikes.total, "SpikeSum"),
    "spike.read_out": Form(spikes.read_out, "ReadOut", fast.read_out),
    "spike.matmul": Form(spikes.matmul, "SpikeMatMul", fast.matmul),
    "spike.read_matmul": Form(spikes.read_matmul, "ReadMatMul", fast.read_matmul),
    "lif.current": Form(lif.current, "LIFCurrent"),
    "lif.fire": Form(lif.fire, "LIFFire"),
    "lif.linear": Form(lif.linear, "LIFLinear"),
    "lif.coincide": Form(lif.coincide, "LIFCoincide"),
    "lif.gather": Form(lif.gather, "LIFGather"),
    "lif.both": Form(lif.both, "LIFBoth"),
    "lif.reshape": Form(moves.lif_reshape),
    "lif.mean": Form(lif.mean, "LIFMean"),
}
