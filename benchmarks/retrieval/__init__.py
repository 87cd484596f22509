"""How well memory finds what answers a question: ``python -m benchmarks.retrieval``."""
