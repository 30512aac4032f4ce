"""What launcher and ranks agree on."""

BEAT_SECONDS = 1.0
# without a sign of life and without computing anything for so long, a rank counts as hung
SILENCE_SECONDS = 12.0
# what the other ranks get to save and end, once one has failed
GRACE_SECONDS = 10.0
# the exit code of a rank that ended because another one had
LOST_CONNECTION = 76
