"""The support matrix: what each backend said and showed, as lines, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_WORST = ("yes", "", "no", "FAILS")  # the second: some of several


@dataclass(frozen=True, slots=True)
class Cell:
    """One backend in one row. `says`: yes, no, `3 of 5`, or FAILS; `why`: the reason of a refusal."""

    backend: str
    section: str
    row: str
    says: str = "yes"
    why: str = ""

    @property
    def rank(self) -> int:
        """How far from yes."""
        return _WORST.index(self.says) if self.says in _WORST else 1


@dataclass
class Matrix:
    """Cells by section, row and backend, in the order they came; of several for one place the worst counts."""

    cells: dict[tuple[str, str, str], Cell] = field(default_factory=dict)

    def add(self, cell: Cell) -> None:
        """Enter a cell."""
        key = (cell.section, cell.row, cell.backend)
        if key not in self.cells or cell.rank > self.cells[key].rank:
            self.cells[key] = cell

    @property
    def backends(self) -> list[str]:
        """Columns."""
        return list(dict.fromkeys(c.backend for c in self.cells.values()))

    def sections(self) -> Mapping[str, dict[str, dict[str, Cell]]]:
        """Section to row to backend."""
        found: dict[str, dict[str, dict[str, Cell]]] = {}
        for (section, row, backend), cell in sorted(self.cells.items(), key=lambda item: _place(item[0])):
            found.setdefault(section, {}).setdefault(row, {})[backend] = cell
        return found

    def lines(self) -> list[str]:
        """For a terminal: how much of each section is supported, and what is not."""
        made = []
        for backend in self.backends:
            for section, rows in self.sections().items():
                mine = [row[backend] for row in rows.values() if backend in row]
                made.append(f"{backend}: {sum(c.says == 'yes' for c in mine)} of {len(mine)} {section}")
                made += [f"    {c.row}: {c.says}{f' ({c.why})' if c.why else ''}" for c in mine if c.says != "yes"]
        return made

    def markdown(self) -> str:
        """A table for each section, and under it the reasons of what is not supported."""
        made: list[str] = []
        for section, rows in self.sections().items():
            made += [f"| {section} | {' | '.join(self.backends)} |", "|---" * (len(self.backends) + 1) + "|"]
            for row, cells in rows.items():
                says = [cells[b].says if b in cells else "" for b in self.backends]
                made.append(f"| {row} | {' | '.join(says)} |")
            made.append("")
            reasons: dict[tuple[str, str], list[str]] = {}
            for row, cells in rows.items():
                for cell in cells.values():
                    if cell.why:
                        reasons.setdefault((cell.backend, cell.why), []).append(row)
            made += [f"* {backend}, {', '.join(rows_)}: {why}" for (backend, why), rows_ in reasons.items()]
            made += [""] * bool(reasons)
        return "\n".join(made)

    def as_json(self) -> list[dict[str, Any]]:
        """Every cell."""
        return [asdict(cell) for _, cell in sorted(self.cells.items(), key=lambda item: _place(item[0]))]


_SECTIONS = ("ways", "models", "spike codes", "ops")


def _place(key: tuple[str, str, str]) -> tuple[int, str]:
    """Sections in this order; rows stay as they came, ops by name."""
    section, row, _ = key
    return (_SECTIONS.index(section) if section in _SECTIONS else len(_SECTIONS), row if section == "ops" else "")
