"""The leaderboard: many runs compared in a terminal, a CSV file and one page that needs nothing else."""
