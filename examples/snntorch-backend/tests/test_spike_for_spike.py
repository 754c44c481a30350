"""Every train that a layer of snn.Leaky fires is the train of the code, step by step."""

import numpy as np
import pytest
import snntorch as snn
import torch
from sdllm.backends.conformance.families import FAMILIES, tiny_model
from sdllm.ir import Binary, Bits, SignedBits, Ternary
from sdllm.ir.interpreter import KERNELS
from sdllm_snntorch import SnnTorchBackend
from sdllm_snntorch.module import Encoder, Lif


@pytest.mark.parametrize("code", [Binary(9), Ternary(7), Ternary(60), Bits(8), SignedBits(6)], ids=str)
def test_every_count_of_a_code(code):
    n = np.arange(code.lo, code.hi + 1)
    encoder = Encoder(code.steps, code.lo < 0, code.name.endswith("bits"))
    assert any(isinstance(m, snn.Leaky) for m in encoder.modules())
    np.testing.assert_array_equal(encoder(torch.from_numpy(n)).numpy(), code.encode(n))


@pytest.mark.parametrize("beta", [0, 1, 77, 128, 230, 255, 256])
def test_leaky_neurons_in_whole_numbers(beta):
    current = torch.from_numpy(np.random.default_rng(beta).integers(-9000, 9000, (64, 500)).astype(np.int32))
    potential, spikes = torch.zeros(500, dtype=torch.int32), torch.zeros(500, dtype=torch.int32)
    train = Lif(beta, 179)(current)
    for step, fired in zip(current, train, strict=True):
        potential = step + ((potential * beta) >> 8) - spikes * 179
        spikes = (potential >= 179).int()
        assert torch.equal(fired.int(), spikes)


@pytest.mark.parametrize(
    "family", [f for f in FAMILIES if f.name in ("llama", "llama, spiked attention", "gpt2")], ids=str
)
def test_every_layer_of_a_model(family, tmp_path):
    program, store = tiny_model(family)
    backend = SnnTorchBackend()
    backend.emit(program, store, tmp_path, {})
    runner, checked = backend.load(tmp_path), []

    def encode(call):
        n, *rest = KERNELS["spike.encode"](call)
        train = runner.model.layer(call)(n)
        np.testing.assert_array_equal(train.numpy(), call.attr("code").encode(n.numpy()))
        checked.append(call.op.result.name)
        return train, *rest

    runner.model.interpreter._kernels["spike.encode"] = encode
    runner.run(np.arange(12).reshape(2, 6) + 1)
    assert checked == [op.result.name for op in program.ops if op.name == "spike.encode"]
