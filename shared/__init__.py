"""Components of the task-driven medical image enhancement bundles.

A bundle's configuration names what it uses by its full path, for example ``shared.handlers.GradPromHandler``.
"""

__version__ = "0.5.0"

from shared.bundle.finding import bundle_names, bundle_root
from shared.errors import InputError

__all__ = ["InputError", "__version__", "bundle_names", "bundle_root"]
