"""Settings for the whole suite: what chance does, and nothing of the developer's own environment.

Fixtures live beside the tests that use them, or in tests/support/.
"""

import os

from hypothesis import HealthCheck, settings

# A shared machine may stall for seconds: slowness is not what these tests are about. The profile is loaded by name, so
# that a build server finds new examples like everybody else; a failing one is printed with the way to repeat it.
settings.register_profile(
    "isthmus", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow], derandomize=False
)
settings.load_profile("isthmus")

# An address in the developer's shell must not lead a test to a real broker.
os.environ.pop("ISTHMUS_URL", None)
