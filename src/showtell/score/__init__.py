"""`python -m showtell.score`: what files of captions are worth, of any model, without a checkpoint or torch."""
