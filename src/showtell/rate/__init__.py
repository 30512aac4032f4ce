"""`python -m showtell.rate`: people judge two systems' captions blindly, and what their judgements say together."""
