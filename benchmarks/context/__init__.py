"""How much of what answers a question is inside the context that is built for a prompt.

``python -m benchmarks.context`` measures; ``docs/benchmarks.md`` has the table and the plot.
"""
