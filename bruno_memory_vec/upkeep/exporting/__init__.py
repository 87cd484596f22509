"""A store, or a part of it, into files, and back.

``run`` reads what is asked for and gives it to a writer of :mod:`bruno_memory_vec.portability`;
``importing`` takes an export in again, exactly; ``report`` is what an export tells.
"""
