"""``python -m bl30k_gen`` is ``generate.py``, for where there is no checkout."""

from bl30k_gen.cli import main

main()
