"""FBIL, SlowFast and AVA against numbers of published code; the tests are in the folder fbil."""

import pytest

pytest.register_assert_rewrite("tests.reference.fbil")

from tests.reference.fbil.backbone import *  # noqa: E402, F403
from tests.reference.fbil.end_to_end import *  # noqa: E402, F403
from tests.reference.fbil.evaluator import *  # noqa: E402, F403
from tests.reference.fbil.heads import *  # noqa: E402, F403
from tests.reference.fbil.index import *  # noqa: E402, F403
from tests.reference.fbil.layouts import *  # noqa: E402, F403
from tests.reference.fbil.losses import *  # noqa: E402, F403
from tests.reference.fbil.masks import *  # noqa: E402, F403
from tests.reference.fbil.neck import *  # noqa: E402, F403
from tests.reference.fbil.positions import *  # noqa: E402, F403
from tests.reference.fbil.roi_heads import *  # noqa: E402, F403
from tests.reference.fbil.schedules import *  # noqa: E402, F403
from tests.reference.fbil.transforms import *  # noqa: E402, F403

pytestmark = pytest.mark.reference
