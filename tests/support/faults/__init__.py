"""The fault driver: both processes and Redis as they are run, revocations by the thousand, and everything that can break."""
