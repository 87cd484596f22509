"""``python -m bruno_memory_vec``: the command line."""

from bruno_memory_vec.surfaces.cli import main

if __name__ == "__main__":
    main()
