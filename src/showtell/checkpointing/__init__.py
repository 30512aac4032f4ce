"""Checkpoints that survive kills, full disks and bit rot."""
