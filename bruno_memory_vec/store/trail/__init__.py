"""The audit trail that an open store writes; :mod:`bruno_memory_vec.privacy.audit` reads it."""
