"""`python -m sdllm.compiler.cli` is `sdllm-compile`."""

import sys

from .main import main

sys.exit(main())
