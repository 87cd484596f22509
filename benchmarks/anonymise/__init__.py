"""How much of what tells who somebody is the anonymiser finds, and how much else it replaces."""
