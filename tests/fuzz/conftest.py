"""Fuzzing takes as long as it is given: `make fuzz` says how long, and without that there is nothing to collect."""

import os

collect_ignore_glob = [] if "ISTHMUS_FUZZ_SECONDS" in os.environ else ["test_*.py"]
