"""What keeps `logoutd dev` from running."""


class DevError(Exception):
    """One line for whoever sits at the terminal: what is in the way, and what to do about it."""
