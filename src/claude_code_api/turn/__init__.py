"""What a turn is: the nouns in the middle of the house.

A `TurnRequest` goes down, a stream of `TurnEvent`s comes up. Standard library only: no I/O, no clock, no random, no
loop. Everything else in the package may import this room; this room imports nothing.
"""
