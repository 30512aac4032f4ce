"""What a run shows of itself: curves, captioned pictures, a progress bar, a CSV file."""
