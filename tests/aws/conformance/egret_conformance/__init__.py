"""What EC2 is expected to answer, step by step, and what it did answer."""
