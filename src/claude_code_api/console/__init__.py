"""What a person sees in the terminal: the welcome, the doctor, the demo, the settings' table.

Between `cli.py`, which only reads arguments, and `app.py`, which only puts objects together.
"""
