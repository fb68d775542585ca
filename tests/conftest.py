"""Settings for the whole suite: what chance does, and nothing of the developer's own environment.

Fixtures live beside the tests that use them, or in tests/support/.
"""

import os

from hypothesis import HealthCheck, settings

# A shared machine may stall for seconds: slowness is not what these tests are about. With CI set hypothesis repeats the
# same examples, so that nobody is stopped by what another change did; without it, it looks for new ones.
settings.register_profile("isthmus", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("isthmus")

# An address in the developer's shell must not lead a test to a real broker.
os.environ.pop("ISTHMUS_URL", None)
