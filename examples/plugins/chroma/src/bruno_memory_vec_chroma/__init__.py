"""Rows of bruno-memory-vec in an embedded Chroma.

``deployment`` opens a store, ``index`` is the engine, ``records`` turns rows into Chroma's records
and back, ``conditions`` turns filters into Chroma's.
"""
