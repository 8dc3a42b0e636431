"""Things: who, where, what. Values and rules only: no I/O, no clock, no framework."""
