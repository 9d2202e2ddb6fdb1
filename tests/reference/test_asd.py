"""Active speakers against numbers of published code; the tests are in the folder asd."""

import pytest

pytest.register_assert_rewrite("tests.reference.asd")

from tests.reference.asd.clip_workflow import *  # noqa: E402, F403
from tests.reference.asd.ego4d import *  # noqa: E402, F403
from tests.reference.asd.evaluation import *  # noqa: E402, F403
from tests.reference.asd.faces import *  # noqa: E402, F403
from tests.reference.asd.light import *  # noqa: E402, F403
from tests.reference.asd.mfcc import *  # noqa: E402, F403
from tests.reference.asd.mrope import *  # noqa: E402, F403
from tests.reference.asd.talknet import *  # noqa: E402, F403

pytestmark = pytest.mark.reference
