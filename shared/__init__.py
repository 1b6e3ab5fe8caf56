"""Components of the task-driven medical image enhancement bundles.

A bundle's configuration names what it uses by its full path, for example ``shared.handlers.GradPromHandler``.
"""

from shared.bundle.location import bundle_names, bundle_root
from shared.errors import InputError
from shared.version import __version__

__all__ = ["InputError", "__version__", "bundle_names", "bundle_root"]
