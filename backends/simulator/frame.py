"""The frame of an emitted `model.py` (jinja2); what stands in `forward` comes from source.py."""

MODEL = '''\
"""A spike program written by sdllm's simulator backend. Not for editing: change the program and emit it again.

Needs numpy alone. Each statement of `forward` stands under the line of program.spike that it carries out; %7 is v7.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

{% if classes %}
from .ir.codes import {{ classes | join(", ") }}
{% endif %}
from .ir.types import Plane, Segment
from .kernels import attention, dense, lif, session, spikes
from .kernels.count import Count
from .kernels.weights import Weights
from .tensorfile import read_tensors

HERE = Path(__file__).resolve().parent
PROGRAM_SHA256 = "{{ program_hash }}"
INPUTS = {{ inputs.keys() | list }}
OUTPUTS = {{ outputs.keys() | list }}
STATES = {
{% for name, kind in states.items() %}
    {{ name.__repr__() }}: {{ kind }},
{% endfor %}
}

{% for constant in constants %}
{{ constant }}
{% endfor %}


class Model:
    """The program with its weights. The past of a sequence lives in the state it is given; counts are kept here."""

    def __init__(self):
        beside = [folder / "weights.safetensors" for folder in (HERE, HERE.parent)]
        path = next((p for p in beside if p.exists()), None)
        if path is None:
            raise FileNotFoundError(f"no weights: neither {beside[0]} nor {beside[1]} exists")
        tensors, metadata = read_tensors(path)
        if metadata.get("program") != PROGRAM_SHA256:
            raise ValueError(f"{path} holds the weights of another program: emit this one again")
        self.weights = Weights(tensors)
        self.tokens = 0
        self.counts = {
{% for count in counts %}
            {{ count.op.__repr__() }}: Count({{ count.op.__repr__() }}, {{ count.module.__repr__() }}, \
{{ count.code.__repr__() }}),
{% endfor %}
        }

    def new_state(self, batch=1):
        """A state without a past."""
        return session.new_state(STATES, batch)

    def run(self, ids, state=None, mask=None):
        """Outputs by name for new tokens ids i64[B,S]; mask i64[B,P+S] has 0 where a token is padding."""
        return self.forward({"ids": ids} if mask is None else {"ids": ids, "mask": mask}, state)

    def forward(self, given, state=None):
        """Outputs by name for inputs by name, `ids` among them; a state is extended by the new tokens."""
        B, S = given["ids"].shape
        state = self.new_state(B) if state is None else state
        P = state.past
        w, counts = self.weights, self.counts
        given = session.complete(given, INPUTS, state)
{% for name, variable in inputs.items() %}
        {{ variable }} = given[{{ name.__repr__() }}]
{% endfor %}
{% for line in body %}
{{ "        " ~ line if line else "" }}
{% endfor %}

        state.past += S
        self.tokens += B * S
        return {
{% for name, variable in outputs.items() %}
            {{ name.__repr__() }}: {{ variable }},
{% endfor %}
        }
'''
