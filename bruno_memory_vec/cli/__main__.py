"""``python -m bruno_memory_vec.cli``."""

from bruno_memory_vec.cli import main

if __name__ == "__main__":
    main()
