"""The Claude CLI: how to start it, talk to it, seat a conversation in it and get rid of it.

Nothing outside this room knows that there is a process.
"""
