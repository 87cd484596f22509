"""Text that came from somewhere, made fit for a prompt or a screen: quoted, bounded, marked."""
