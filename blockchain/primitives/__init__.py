"""Nouns: frozen values, their one canonical encoding, and the cryptography under them. No rules of a chain here."""
