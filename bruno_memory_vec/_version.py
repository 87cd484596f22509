"""The version, as it was installed: packaging takes it from the last tag (``v1.2.3``)."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("bruno-memory-vec")
except PackageNotFoundError:  # a tree that nobody has installed
    __version__ = "0+unknown"
