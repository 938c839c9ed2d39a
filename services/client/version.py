"""Which version this is; the service of the same one is what it was tested with."""

__version__ = "0.1.0"
