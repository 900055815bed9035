"""Rules of agreement: who forges, who votes, what is final. Never imports `ledger`."""
