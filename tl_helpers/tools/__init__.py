"""What the command `tl-helpers` runs."""
