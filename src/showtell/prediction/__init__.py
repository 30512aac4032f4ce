"""What `predict.py` does: who captions, which pictures, what the captions are worth, and what is written."""
