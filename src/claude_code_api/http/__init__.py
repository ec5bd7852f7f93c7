"""The edge: what HTTP asks is brought to the flow, what the flow says is brought to HTTP.

Only this room and `app.py` know the web framework. Nothing in here knows a process or a database.
"""
