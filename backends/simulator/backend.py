"""The simulator backend: a program becomes a folder of Python that needs numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import ir
from ...ir import IRError, Program, Store
from ..container import provide
from ..interface import Runner
from ..mapping import write_map
from .printers import PRINTERS
from .runner import SimulatorRunner
from .source import became, model_source

HERE = Path(__file__).parent
IR = Path(ir.__file__).parent

# Copied as they are, so that codes, types and kernels have one source: where each goes, and where it comes from.
VERBATIM = {
    "run.py": HERE / "run.py",
    "tensorfile.py": HERE.parent / "tensorfile.py",
    **{f"ir/{name}.py": IR / f"{name}.py" for name in ("codes", "errors", "types")},
    **{f"kernels/{path.name}": path for path in sorted((HERE / "kernels").glob("*.py"))},
}
PACKAGES = ("__init__.py", "ir/__init__.py")


class SimulatorBackend:
    """Event-driven, time-unrolled, additions only; counts every spike and synaptic operation as it happens."""

    name = "simulator"
    summary = "a self-contained numpy program that runs spike by spike and counts each addition"

    def supports(self, program: Program) -> list[str]:
        """Ops that no printer is there for."""
        return [
            f"{op.name} at {op.loc.module or '<no module>'}: the simulator has no kernel for it"
            for op in program.ops
            if op.name not in PRINTERS
        ]

    def emit(self, program: Program, store: Store, out: Path, options: Mapping[str, str]) -> dict[str, Any]:
        """Write the Python program into `out`, and the weights too if the artifact around it has them not.

        Raises IRError if the program is not supported or there are options (it has none).
        """
        if options:
            raise IRError(f"the {self.name} backend has no option '{next(iter(options))}'")
        if reasons := self.supports(program):
            raise IRError("; ".join(reasons))
        files = {name: path.read_text(encoding="utf-8") for name, path in VERBATIM.items()}
        files |= dict.fromkeys(PACKAGES, "")
        files["model.py"] = model_source(program)
        for name, text in files.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        provide(out, program, store)
        statements = became(program)
        write_map(out, program, lambda op: statements[op.result.name])
        return {"entry": "run.py", "needs": ["numpy"]}

    def load(self, out: Path) -> Runner:
        """A runner of the program in `out`."""
        return SimulatorRunner(out)
