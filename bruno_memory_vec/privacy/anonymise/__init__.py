"""Names, addresses and numbers that tell who somebody is, replaced in rows, texts and profiles.

``anonymiser`` is the whole of it: what it is told of a store it learns, and then replaces.
``numbers``, ``places``, ``dates`` and ``names`` find what tells who somebody is, each place as a
``span``; ``presidio`` asks Microsoft Presidio as well. ``invented`` makes what stands in its place;
``report`` counts it; ``copying`` makes an anonymised store.
"""
