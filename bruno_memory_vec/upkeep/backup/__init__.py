"""Backups: points in time of a store of any kind, in a folder or in one file.

A point is the rows of one moment, with sessions, profiles, owners and notes. What a later point
shares with an earlier one is stored once, so a backup of a store that has hardly changed is small.

==================  ==============================================================================
module              holds
==================  ==============================================================================
``repository``      what all places have in common: pieces by their hash, and the head
``folder``          a place: a folder of files; ``single_file``: one file; ``in_memory``: neither
``sealing``         what a piece passes on its way to a place
``chunks``          rows as bytes and back
``points``          what a point is made of, and the list of points
``people``          sessions, profiles, owners and notes as bytes and back
``contents``        where each row of a backup is
``making``          a new point
``source``          a point, read as if it were a store
``restoring``       a point, copied into a store
``verifying``       whether every piece is as it was written
``pruning``         old points, removed
``report``          what these tell
==================  ==============================================================================
"""
