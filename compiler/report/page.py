"""From folders to one HTML file: styles, scripts and data inlined, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from .blocks import Block, show
from .folder import Folder, open_folders
from .sections import SECTIONS, Section, graph

_PAGE = "page"


@dataclass(frozen=True)
class Part:
    """A section with what it says of each folder."""

    section: Section
    sides: Sequence[tuple[Folder, Sequence[Block]]]


Progress = Callable[[int, int, str], None]


def write_report(paths: Sequence[Path], out: Path, progress: Progress = lambda done, total, what: None) -> Path:
    """Write the report of one or several compiled folders. Raises InputError for what is no compiled folder."""
    folders = open_folders(list(paths))
    parts = []
    for done, section in enumerate(SECTIONS):
        progress(done, len(SECTIONS), section.title)
        parts.append(Part(section, [(folder, section.blocks(folder)) for folder in folders]))
    write_page(out, report_html(folders, parts))
    return out


def report_html(folders: Sequence[Folder], parts: Sequence[Part]) -> str:
    """The whole page."""
    title = "Report: " + ", ".join(folder.label for folder in folders)
    return render("report.html", title=title, parts=parts, folders=folders)


def graph_html(path: Path) -> str:
    """A page with the diagram of one compiled folder. Raises InputError for what is none."""
    (folder,) = open_folders([path])
    return render("graph.html", title=f"Program of {folder.label}", blocks=graph.blocks(folder))


def render(template: str, **values: object) -> str:
    """A template of `page/` with styles and scripts inlined."""
    env = Environment(
        loader=PackageLoader("sdllm.compiler.report", _PAGE),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["show"] = show
    env.globals["inlined"] = inlined
    env.globals["version"] = version("sdllm")
    return env.get_template(template).render(**values)


def inlined(name: str) -> Markup:
    """A style or script of ours as it is: it may hold what would be escaped elsewhere."""
    return Markup((Path(__file__).parent / _PAGE / name).read_text(encoding="utf-8"))


def write_page(out: Path, html: str) -> None:
    """Write a page whole or not at all."""
    partial = out.with_name(out.name + ".partial")
    partial.write_text(html, encoding="utf-8")
    partial.replace(out)
