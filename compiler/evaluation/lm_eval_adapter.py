"""sdllm as a model of lm-evaluation-harness: `--model sdllm --model_args pretrained=OUT[,backend=NAME]`.

Importing this module registers it; versions of the harness that read the entry point group `lm_eval.models` do so by
themselves, for 0.4.13 the command `sdllm-lm-eval` does. The harness splits texts into tokens and builds the requests;
scores come from `scoring`, as for `sdllm-compile eval`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import lm_eval.models  # noqa: F401  (fills the registry, which does so itself only while it is empty)
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from ..generate import Sampling, generate, stop_tokens
from ..ui import Quiet, reporter
from .pairs import Pair, PairEncoder, prefix_token
from .scoring import BATCH_TOKENS, score
from .subject import Subject, Where, open_subject

_DEFAULT_LENGTH = 2048  # of models that have no limit
_MAX_NEW = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")

log = logging.getLogger(__name__)


@register_model("sdllm")
class SpikeLM(TemplateLM):  # type: ignore[misc]
    """A compiled folder, or a source model in floats.

    `batch_tokens` is the size of a batch in tokens; the harness' own `batch_size` and `device` are taken and ignored.
    """

    def __init__(
        self,
        pretrained: str,
        backend: str | None = None,
        max_length: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
        revision: str | None = None,
        trust_remote_code: bool = False,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__()
        if batch_size not in (None, 1, "1") or device not in (None, "cpu"):
            log.warning("sdllm ignores batch_size and device; its batches hold batch_tokens=%d", batch_tokens)
        where = Where(pretrained, backend, revision, trust_remote_code)
        ui = reporter()
        try:
            self.subject: Subject = open_subject(where, ui)
        finally:
            ui.close()
        self.tokenizer = self.subject.tokenizer
        self.max_length = max_length or self.subject.context or _DEFAULT_LENGTH
        self.batch_tokens = batch_tokens
        self._prefix = prefix_token(self.tokenizer)
        self._encoder = PairEncoder(self.tokenizer, self._prefix)

    @property
    def eot_token_id(self) -> int:
        """The token a text ends with; the harness wants one."""
        token = getattr(self.tokenizer, "eos_token_id", None)
        if not isinstance(token, int):
            raise ValueError(f"{self.subject.identity['name']}: its tokenizer has no token for the end of a text")
        return token

    @property
    def prefix_token_id(self) -> int:
        """What stands for an empty context."""
        return self._prefix if self._prefix is not None else self.eot_token_id

    @property
    def tokenizer_name(self) -> str:
        """For the harness' cache of requests."""
        return str(self.subject.identity["name"]).replace("/", "__")

    def get_model_info(self) -> Mapping[str, Any]:
        """What the harness writes beside the scores."""
        return {"model_identity": dict(self.subject.identity), "sdllm_backend": self.subject.backend}

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """A text's tokens."""
        if add_special_tokens is None:
            return self._encoder.text(string)
        return list(self.tokenizer(string, add_special_tokens=add_special_tokens, verbose=False)["input_ids"])

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation as one text."""
        return str(
            self.tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str] | None, list[int], list[int]]],
        disable_tqdm: bool = False,
        **_: Any,
    ) -> list[tuple[float, bool]]:
        """As the base class wants it: (context, continuation) as text and as tokens."""
        pairs = [Pair(context, continuation) for _text, context, continuation in requests]
        ui = Quiet() if disable_tqdm else reporter()
        try:
            with ui.stage("score"):
                found = score(self.subject.runner, pairs, self.max_length, self.batch_tokens, ui.progress)
        finally:
            ui.close()
        answers = [(s.likelihood, s.greedy) for s in found]
        for (text, _context, _continuation), answer in zip(requests, answers, strict=True):
            if text is not None:
                self.cache_hook.add_partial("loglikelihood", text, answer)
        return answers

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Of whole texts, in windows as large as the context, each token predicted once."""
        windows: list[tuple[None, list[int], list[int]]] = []
        counts = []
        for (text,) in (request.args for request in requests):
            tokens = self.tok_encode(text)
            rolled = get_rolling_token_windows(tokens, self.prefix_token_id, self.max_length, 1)
            found = [make_disjoint_window(window) for window in rolled]
            windows += [(None, context, continuation) for context, continuation in found]
            counts.append(len(found))
        scores = iter(self._loglikelihood_tokens(windows, disable_tqdm))
        sums = [sum(next(scores)[0] for _ in range(count)) for count in counts]
        for request, total in zip(requests, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return sums

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Texts up to a stop string, an end token, or the most tokens wanted."""
        answers = []
        ui = Quiet() if disable_tqdm else reporter()
        try:
            with ui.stage("generate"):
                for index, request in enumerate(requests):
                    ui.progress(index, len(requests), "texts")
                    context, options = request.args
                    answers.append(self._generate(context, options))
                    self.cache_hook.add_partial("generate_until", (context, options), answers[-1])
        finally:
            ui.close()
        return answers

    def _generate(self, context: str, options: Mapping[str, Any]) -> str:
        sampling = _sampling(options)
        room = self.max_length - sampling.max_tokens
        if room < 1:
            raise ValueError(f"{sampling.max_tokens} new tokens leave no room for a prompt in {self.max_length}")
        prompt = self.tok_encode(context)[-room:] or [self.prefix_token_id]
        stop = stop_tokens(self.subject.generation, self.tokenizer)
        until = _until(options.get("until"))
        made: list[int] = []
        text = ""
        for token in generate(self.subject.runner, prompt, sampling, stop, self.max_length):
            made.append(token)
            text = self.tokenizer.decode(made, skip_special_tokens=True)
            if any(end in text for end in until):
                break
        return _cut(text, until)


def _sampling(options: Mapping[str, Any]) -> Sampling:
    given = next((options[name] for name in _MAX_NEW if options.get(name) is not None), 256)
    warm = options.get("do_sample", float(options.get("temperature") or 0) > 0)
    temperature = float(options.get("temperature") or 1.0) if warm else 0.0
    top_k, top_p = int(options.get("top_k") or 0), float(options.get("top_p") or 1.0)
    return Sampling(int(given), temperature, top_k, top_p)


def _until(given: str | Iterable[str] | None) -> list[str]:
    texts = [given] if isinstance(given, str) else list(given or ())
    return [text for text in texts if text]


def _cut(text: str, until: Iterable[str]) -> str:
    for end in until:
        text = text.split(end)[0]
    return text
