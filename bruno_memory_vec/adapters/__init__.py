"""The memory behind other frameworks' own interfaces, each imported by its name.

``background``: an event loop in a thread, for interfaces whose methods are no coroutines;
``buddy``: Buddy AI's memory databases.
"""
