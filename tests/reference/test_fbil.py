"""FBIL, SlowFast and AVA against numbers of published code; the tests are in the folder fbil."""

import pytest

pytest.register_assert_rewrite("tests.reference.fbil")

from tests.reference.fbil.backbone import *  # noqa: E402, F403
from tests.reference.fbil.evaluator import *  # noqa: E402, F403
from tests.reference.fbil.schedules import *  # noqa: E402, F403

pytestmark = pytest.mark.reference
