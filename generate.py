"""Makes BL30K-style datasets: ``python generate.py --help``."""

from bl30k_gen.cli import main

if __name__ == "__main__":
    main()
