"""Saliency against numbers of published code; the tests are in the folder saliency."""

import pytest

pytest.register_assert_rewrite("tests.reference.saliency")

from tests.reference.saliency.cams import *  # noqa: E402, F403
from tests.reference.saliency.curves import *  # noqa: E402, F403
from tests.reference.saliency.inputs import *  # noqa: E402, F403
from tests.reference.saliency.mfnet import *  # noqa: E402, F403
from tests.reference.saliency.pathways import *  # noqa: E402, F403
from tests.reference.saliency.pictures import *  # noqa: E402, F403
from tests.reference.saliency.tokens import *  # noqa: E402, F403
from tests.reference.saliency.tubes import *  # noqa: E402, F403

pytestmark = pytest.mark.reference
