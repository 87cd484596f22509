"""Facts buried in long messages about something else: are they found?"""
