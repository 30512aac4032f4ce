"""Sweeps: many runs, each in a process of its own, side by side on this machine, a SLURM cluster or a Ray cluster."""
