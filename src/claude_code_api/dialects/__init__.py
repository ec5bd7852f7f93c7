"""How a turn looks on a wire: pure translators, one file a dialect.

No await, no clock, no random, no log: what goes in decides what comes out. This room knows `turn` and nothing else.
"""
