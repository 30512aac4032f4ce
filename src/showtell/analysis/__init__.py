"""What went wrong: where captions score badly, which words and things they get wrong, and examples of it."""
