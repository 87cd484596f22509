"""What a store remembers of people, and of those who ask: the audit trail, erasure, anonymising."""
