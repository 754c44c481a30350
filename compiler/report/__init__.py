"""The report: one HTML file about one compiled folder, or several side by side, that needs nothing but a browser.

A section is a file of its own in `sections/`: a title and a function from a folder to blocks (text, tables, plots,
widgets). `page.py` lays them out by the templates in `page/`.
"""

from .page import graph_html, write_report

__all__ = ["graph_html", "write_report"]
