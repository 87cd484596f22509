"""Taking an export into a store, once or again.

``run`` reads the sources twice, checks first and stores then; ``sources`` can be read twice;
``outline`` is what is kept of messages between the two; ``alignment`` finds out which message of an
export is which of the store; ``dating`` gives a time to those that have none; ``order`` puts a
conversation into the order of its export; ``report`` is what is told.
"""
