"""One engine, in a process of its own: how fast it decodes, or what it makes of a text. `decode.py` starts these.

    python benchmarks/engines.py KIND MODEL speed|losses|profile|stats|about [options]

Kinds: `c`, a folder our C backend emitted; `source`, a model as it is, in float32; `llama`, a GGUF file by llama.cpp;
`ort`, a folder of onnxruntime-genai's. All take the likeliest token, in Python, so that each pays the same for it.
Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
CONTEXT = 2048
CHUNK = 256  # tokens scored at once


class Engine(Protocol):
    """What is asked of each."""

    def reset(self) -> None:
        """Forget all tokens."""
        ...

    def prefill(self, ids: Ids) -> int:
        """Run the tokens [n] after those seen; the likeliest next one."""
        ...

    def step(self, token: int) -> int:
        """The same for one token."""
        ...

    def logits(self, ids: Ids) -> NDArray[np.float32]:
        """Run the tokens [n] after those seen: what is said after each, [n, vocabulary]."""
        ...

    def about(self) -> dict[str, Any]:
        """What else is known: bytes of weights that one token reads, how the kernels are called."""
        ...


class Runs:
    """A Runner of ours: an emitted folder, or the source by the reference interpreter."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner
        self.state: Any = None

    def reset(self) -> None:
        self.state = None
        if hasattr(self.runner, "reset"):
            self.runner.reset()

    def prefill(self, ids: Ids) -> int:
        return int(self.runner.prefill(ids).argmax())

    def step(self, token: int) -> int:
        return int(self.runner.step(token).argmax())

    def logits(self, ids: Ids) -> NDArray[np.float32]:
        self.state = self.state or self.runner.new_state(1)
        found: NDArray[np.float32] = self.runner.run(ids[None], self.state)["logits"][0]
        return found

    def about(self) -> dict[str, Any]:
        return {"isa": getattr(self.runner, "isa", "")}


class Parameters(ctypes.Structure):
    """Any of llama.h's parameter structs: larger than all of them, as the callee reads or writes what it knows of. The
    few fields that are set stand at their beginning, and their defaults are checked before."""

    _fields_ = (("words", ctypes.c_uint32 * 256),)


class Batch(ctypes.Structure):
    """struct llama_batch."""

    _fields_ = (
        ("n_tokens", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ("token", "embd", "pos", "n_seq_id", "seq_id", "logits")),
    )


LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
P, I = ctypes.c_void_p, ctypes.c_int32
LLAMA = {
    "llama_log_set": (None, (LOG, P)),
    "llama_backend_init": (None, ()),
    "llama_model_default_params": (Parameters, ()),
    "llama_context_default_params": (Parameters, ()),
    "llama_model_quantize_default_params": (Parameters, ()),
    "llama_model_quantize": (ctypes.c_uint32, (ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Parameters))),
    "llama_model_load_from_file": (P, (ctypes.c_char_p, Parameters)),
    "llama_model_get_vocab": (P, (P,)),
    "llama_vocab_n_tokens": (I, (P,)),
    "llama_init_from_model": (P, (P, Parameters)),
    "llama_set_n_threads": (None, (P, I, I)),
    "llama_get_memory": (P, (P,)),
    "llama_memory_clear": (None, (P, ctypes.c_bool)),
    "llama_batch_get_one": (Batch, (P, I)),
    "llama_decode": (I, (P, Batch)),
    "llama_get_logits": (P, (P,)),
    "llama_get_logits_ith": (P, (P, I)),
}


@LOG
def _quiet(level: int, text: bytes, _: Any) -> None:
    if level == 4:  # errors
        sys.stderr.write(text.decode(errors="replace"))


def llama_library(folder: Path) -> ctypes.CDLL:
    """llama.cpp's shared libraries from a folder, the best for this processor chosen. Raises OSError."""

    def load(stem: str) -> ctypes.CDLL:
        found = [f for f in sorted(folder.iterdir()) if re.fullmatch(rf"lib{stem}(\.v[\d.]+)?\.(so|dylib)", f.name)]
        if not found:
            raise OSError(f"{folder}: no lib{stem}; see benchmarks/peers.py")
        return ctypes.CDLL(str(found[0]), ctypes.RTLD_GLOBAL)

    load("ggml-base")
    ggml, llama = load("ggml"), load("llama")
    for name, (result, arguments) in LLAMA.items():
        function = getattr(llama, name)
        function.restype, function.argtypes = result, arguments
    llama.llama_log_set(_quiet, None)
    ggml.ggml_backend_load_all_from_path(str(folder).encode())
    llama.llama_backend_init()
    return llama


class Llama:
    """llama.cpp through its C interface."""

    def __init__(self, path: Path, threads: int, libraries: Path) -> None:
        self.path, self.c = path, llama_library(libraries)
        model = self.c.llama_model_load_from_file(str(path).encode(), self.c.llama_model_default_params())
        if not model:
            raise OSError(f"{path}: llama.cpp cannot load it")
        self.size = self.c.llama_vocab_n_tokens(self.c.llama_model_get_vocab(model))
        options = self.c.llama_context_default_params()
        if list(options.words[:3]) != [512, 2048, 512]:  # n_ctx, n_batch, n_ubatch
            raise OSError(f"llama_context_params begins with {list(options.words[:3])}: this llama.cpp is another one")
        options.words[0] = CONTEXT
        self.context = self.c.llama_init_from_model(model, options)
        if not self.context:
            raise OSError(f"{path}: llama.cpp makes no context of {CONTEXT} tokens for it")
        self.c.llama_set_n_threads(self.context, threads, threads)
        self.past = 0

    def reset(self) -> None:
        self.c.llama_memory_clear(self.c.llama_get_memory(self.context), True)
        self.past = 0

    def _decode(self, batch: Batch) -> None:
        if code := self.c.llama_decode(self.context, batch):
            raise RuntimeError(f"llama_decode failed with {code}")
        self.past += batch.n_tokens

    def _read(self, pointer: int, rows: int) -> NDArray[np.float32]:
        raw = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(raw, (rows, self.size))

    def prefill(self, ids: Ids) -> int:
        tokens = ids.astype(np.int32)
        self._decode(self.c.llama_batch_get_one(tokens.ctypes.data, len(tokens)))
        return int(self._read(self.c.llama_get_logits_ith(self.context, -1), 1).argmax())

    def step(self, token: int) -> int:
        return self.prefill(np.array([token]))

    def logits(self, ids: Ids) -> NDArray[np.float32]:
        n = len(ids)
        tokens, positions = ids.astype(np.int32), np.arange(self.past, self.past + n, dtype=np.int32)
        ones, wanted, zero = np.ones(n, dtype=np.int32), np.ones(n, dtype=np.int8), np.zeros(1, dtype=np.int32)
        sequences = np.full(n, zero.ctypes.data, dtype=np.uint64)
        arrays = (positions, ones, sequences, wanted)
        self._decode(Batch(n, tokens.ctypes.data, None, *(a.ctypes.data for a in arrays)))
        return self._read(self.c.llama_get_logits(self.context), n)

    def about(self) -> dict[str, Any]:
        from gguf import GGUFReader

        sizes = {t.name: int(t.n_bytes) for t in GGUFReader(self.path).tensors}
        if "output.weight" in sizes:  # then a token reads one row of the embedding
            del sizes["token_embd.weight"]
        return {"bytes": sum(sizes.values())}


class Ort:
    """onnxruntime-genai, where PYTHONPATH has it."""

    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime_genai

        self.folder, self.og = folder, onnxruntime_genai
        config = self.og.Config(str(folder))
        config.clear_providers()
        config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
        self.model = self.og.Model(config)
        self.reset()

    def reset(self) -> None:
        options = self.og.GeneratorParams(self.model)
        options.set_search_options(max_length=CONTEXT, min_length=CONTEXT, do_sample=False)
        self.generator = self.og.Generator(self.model, options)

    def prefill(self, ids: Ids) -> int:
        self.generator.append_tokens(ids.astype(np.int32))
        return self.step(0)  # takes the likeliest token of what the prompt gave

    def step(self, token: int) -> int:
        self.generator.generate_next_token()  # runs the last one
        return int(self.generator.get_next_tokens()[0])

    def logits(self, ids: Ids) -> NDArray[np.float32]:
        self.generator.append_tokens(ids.astype(np.int32))
        found: NDArray[np.float32] = self.generator.get_output("logits")[0]
        if len(found) != len(ids):
            raise RuntimeError(f"{self.folder}: the model says only what follows the last token")
        return found

    def about(self) -> dict[str, Any]:
        import onnx

        graph = onnx.load(self.folder / "model.onnx", load_external_data=False).graph
        read = {name for node in graph.node if "MatMul" in node.op_type for name in node.input}
        sizes = [
            int(np.prod(t.dims)) * onnx.helper.tensor_dtype_to_np_dtype(t.data_type).itemsize
            for t in graph.initializer
            if t.name in read
        ]
        return {"bytes": sum(sizes)}


def opened(args: argparse.Namespace) -> Engine:
    """The engine that is asked for."""
    if args.kind == "llama":
        return Llama(args.model, args.threads, args.libraries)
    if args.kind == "ort":
        return Ort(args.model, args.threads)
    if args.kind == "source":
        import torch
        from sdllm.compiler.evaluation.subject import Where, open_subject
        from sdllm.compiler.ui import Quiet

        torch.set_num_threads(args.threads)
        return Runs(open_subject(Where(str(args.model)), Quiet()).runner)
    from sdllm.backends.c.runner import CRunner

    asked = {name: args.task == name for name in ("stats", "profile")}
    return Runs(CRunner(args.model, threads=args.threads, **asked))


def peak() -> float:
    """Most memory this process has held, MB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts what the parent held before it became this program
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def words(n: int) -> Ids:
    """A prompt: token ids spread over the first 40,000, the same for all."""
    return (np.arange(n, dtype=np.int64) * 7919) % 40000 + 100


def decoded(engine: Engine, args: argparse.Namespace) -> dict[str, Any]:
    """A prompt and new tokens after it: seconds of each, and the tokens."""
    engine.reset()
    clock = time.perf_counter
    began = clock()
    token = engine.prefill(words(args.prompt))
    prompt, times, tokens = clock() - began, [], [token]
    while len(times) < args.new and sum(times) < args.seconds:
        began = clock()
        token = engine.step(token)
        times.append(clock() - began)
        tokens.append(token)
    return {"prompt": prompt, "seconds": times, "tokens": tokens}


def speed(args: argparse.Namespace) -> dict[str, Any]:
    """Load, then prefill, then decode: tokens/s, seconds, MB."""
    if args.kind == "c":
        import sdllm.backends.c.runner  # noqa: F401  Python of ours is no part of the engine; its library is
    before, began = peak(), time.perf_counter()
    engine = opened(args)
    found: dict[str, Any] = {"load": time.perf_counter() - began}
    if args.prefill:
        engine.reset()
        engine.prefill(words(32))  # memory is touched for the first time here
        engine.reset()
        began = time.perf_counter()
        engine.prefill(words(args.prefill))
        found["prefill"] = args.prefill / (time.perf_counter() - began)
    found |= decoded(engine, args)
    found["decode"] = len(found["seconds"]) / sum(found["seconds"])
    found["rss"] = peak() - before
    return found


def losses(args: argparse.Namespace) -> dict[str, Any]:
    """-log p of each window's tokens but its first, summed; a line for each window as it is done."""
    engine = opened(args)
    found = []
    for window in np.load(args.ids):
        engine.reset()
        loss = 0.0
        for start in range(0, len(window) - 1, CHUNK):
            stop = min(start + CHUNK, len(window) - 1)
            logits = engine.logits(window[start:stop])
            most = logits.max(-1, keepdims=True)
            total = np.log(np.exp(logits - most).sum(-1, dtype=np.float64)) + most[:, 0]
            loss += float((total - logits[np.arange(stop - start), window[start + 1 : stop + 1]]).sum())
        found.append(loss)
        print(json.dumps({"window": len(found), "loss": loss}), flush=True)
    return {"losses": found}


def profile(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of decoding by kind of work."""
    engine = opened(args)
    assert isinstance(engine, Runs)
    token = engine.prefill(words(args.prompt))
    before = engine.runner.seconds
    for _ in range(args.new):
        token = engine.step(token)
    return {k: v - before[k] for k, v in engine.runner.seconds.items()}


def stats(args: argparse.Namespace) -> dict[str, Any]:
    """Share of counts that are not 0, by product, prompt included."""
    engine = opened(args)
    assert isinstance(engine, Runs)
    engine.runner.counting = True
    decoded(engine, args)
    counts = engine.runner.stats().counts
    return {c.op: c.nonzero / c.values for c in counts if c.values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("c", "source", "llama", "ort"))
    parser.add_argument("model", type=Path)
    tasks = {"speed": speed, "losses": losses, "profile": profile, "stats": stats}
    parser.add_argument("task", choices=[*tasks, "about"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=32, help="tokens of the prompt that is decoded from")
    parser.add_argument("--new", type=int, default=128, help="tokens to decode")
    parser.add_argument("--seconds", type=float, default=10.0, help="longest to decode for")
    parser.add_argument("--prefill", type=int, default=512, help="tokens of the prompt that is timed; 0: none")
    parser.add_argument("--ids", type=Path, help="losses: windows of token ids, .npy of i64 [N, length]")
    parser.add_argument("--libraries", type=Path, help="llama: folder of its shared libraries")
    args = parser.parse_args()
    if args.task == "about":
        args.threads = 1
        print(json.dumps(opened(args).about()))
    else:
        print(json.dumps(tasks[args.task](args)))


if __name__ == "__main__":
    main()
