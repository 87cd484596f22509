"""The version, in one place: packaging and ``bruno_memory_vec.__version__`` both read it here."""

__version__ = "0.1.0"
