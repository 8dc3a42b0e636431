"""Things in Redis: `keyspace` is the map, `lua/` holds every step that must be atomic, one repository per noun.

Nothing here decides who may do what; everything here is what survives a crash.
"""
