"""Where data side and model side meet: sources, the trainer, what a run says about itself."""
