"""What one operation costs, in microseconds: each ranker, the embedder, the indexes, a recall.

Run them with ``OPENBLAS_NUM_THREADS=1 python -m pytest benchmarks/micro --benchmark-only``.
``python -m benchmarks.micro`` makes a baseline of a run and compares two.
"""
