"""ShanghaiTech against numbers of published code; the tests are in the folder shanghaitech."""

import pytest

pytest.register_assert_rewrite("tests.reference.shanghaitech")

from tests.reference.shanghaitech.alignment import *  # noqa: E402, F403
from tests.reference.shanghaitech.bags import *  # noqa: E402, F403
from tests.reference.shanghaitech.encoder import *  # noqa: E402, F403
from tests.reference.shanghaitech.evaluation import *  # noqa: E402, F403
from tests.reference.shanghaitech.labels import *  # noqa: E402, F403
from tests.reference.shanghaitech.losses import *  # noqa: E402, F403
from tests.reference.shanghaitech.segments import *  # noqa: E402, F403
from tests.reference.shanghaitech.windows import *  # noqa: E402, F403

pytestmark = pytest.mark.reference
