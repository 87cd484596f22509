"""What a memory holds, counted: growth, conversations, topics, use, repeats, speed and cost."""
