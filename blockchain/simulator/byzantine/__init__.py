"""Hostile validators, each named by what it does, and combined on one node at will.

A hostile node runs the production core, and its actors twist what that wants sent, signed and proven; they sign with
its key and keep no record. Whatever they send goes through production verification at whoever gets it. `cast.py` lists
them by name and draws them for a run.
"""
