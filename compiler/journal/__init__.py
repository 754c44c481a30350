"""The journal of a compilation: what each pass did to each module, at what cost, and how the result fires and errs.

Written beside metrics.json as journal.json and raster.json: the same inputs give the same bytes. `report`, `trace` and
`explain` read it.
"""

from .listen import Journal
from .read import JOURNAL, RASTER, read_journal, read_raster

__all__ = ["JOURNAL", "RASTER", "Journal", "read_journal", "read_raster"]
