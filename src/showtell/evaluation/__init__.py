"""What captions are worth: metrics and reports."""
