"""What is known about a user."""
