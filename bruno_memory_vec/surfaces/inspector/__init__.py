"""The inspector: web pages over a memory, for people who would rather look than read.

:func:`~.app.make_inspector` makes the ASGI application; ``bruno-memory-vec serve`` mounts it at
``/inspector``. Pages are made here, on the server, and work without JavaScript.
"""
