"""Sessions in Redis, which many processes share.

A conversation, a user and a session have their keys in one slot of a cluster each (``keys``), so
that a script changes all of it in one step and Redis Cluster can spread them over its nodes.
"""
