import sys
from pathlib import Path

# importlib mode leaves the tests' own folder off the path
sys.path.insert(0, str(Path(__file__).parent))
