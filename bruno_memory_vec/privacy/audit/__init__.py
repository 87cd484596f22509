"""The audit trail: who read, wrote, deleted and exported what of whom, without content."""
