"""StructAlign: continual text-to-video retrieval from cached CLIP tokens.

The verbs whose names are folders of the package are imported from there, the others from here:

from structalign.extract import extract
from structalign.train import train
from structalign.evaluate import evaluate
from structalign.search import search
from structalign import append, report, sweep, open_cache, open_run
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .verbs import append as append
    from .verbs import open_cache as open_cache
    from .verbs import open_run as open_run
    from .verbs import report as report
    from .verbs import sweep as sweep

__version__ = "0.3.0"
__all__ = ["__version__", "append", "open_cache", "open_run", "report", "sweep"]


def __getattr__(name: str) -> Any:
    """Names are loaded on demand: importing one room must not import them all."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import verbs

    return getattr(verbs, name)
