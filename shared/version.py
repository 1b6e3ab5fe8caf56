"""The version of this package, which its other modules can ask for while it is being imported."""

__version__ = "0.6.0"
