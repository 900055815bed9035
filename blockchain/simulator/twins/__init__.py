"""Twins: one validator runs in two copies with one key, and the network is split anew, period by period.

After "Twins: BFT Systems Made Robust" (arXiv:2004.10617): two correct programs with one key do what a hostile validator
does (vote twice, forget its lock, propose two blocks), and every way to split five processes over four periods is a
scenario. The engine, its rules, its records and the signer's rule are the production ones; the chain under them is a
fake of one height, so that all scenarios can be played.
"""
