"""``npm run parity``: measures every row and writes docs/results/parity.md."""

from __future__ import annotations

import sys

from scripts.parity.report import main

sys.exit(main(sys.argv[1:]))
