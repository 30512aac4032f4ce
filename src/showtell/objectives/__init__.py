"""What training minimizes: one file each; the contract is `models/objective.py`."""
