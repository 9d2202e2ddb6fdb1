"""FocusMAE, VideoMAE and VideoMAE V2 against numbers of the published code; the tests are in the folder focusmae."""

import pytest

pytest.register_assert_rewrite("tests.reference.focusmae")

from tests.reference.focusmae.checkpoints import *  # noqa: E402, F403
from tests.reference.focusmae.data import *  # noqa: E402, F403
from tests.reference.focusmae.encoder import *  # noqa: E402, F403
from tests.reference.focusmae.masks import *  # noqa: E402, F403
from tests.reference.focusmae.parameter_groups import *  # noqa: E402, F403
from tests.reference.focusmae.positions import *  # noqa: E402, F403
from tests.reference.focusmae.pretraining import *  # noqa: E402, F403
from tests.reference.focusmae.priors import *  # noqa: E402, F403
from tests.reference.focusmae.schedules import *  # noqa: E402, F403
from tests.reference.focusmae.videos import *  # noqa: E402, F403
from tests.reference.focusmae.windows import *  # noqa: E402, F403

pytestmark = pytest.mark.reference
