"""Copy a store into another one, of any kind.

``run`` opens both and reports; ``comparison`` finds out what the target lacks; ``moving`` writes
and verifies rows; ``people`` carries sessions, users and owners; ``incoming`` imports a
bruno-memory file; ``report`` is what all of them tell.
"""
