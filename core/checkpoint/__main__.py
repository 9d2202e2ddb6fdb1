"""``python -m core.checkpoint show|export``."""

from core.checkpoint.tool import main

main()
