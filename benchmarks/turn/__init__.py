"""What an assistant does at every turn, and each operation by itself, by size of the store.

Every system has one process for a store. The operations are measured in turn: all systems do the
first one, then the next, and all of it again in each round, so that what else the machine does
meets all of them. Texts are embedded within each call, by the same embedder for all.
"""
