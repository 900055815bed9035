"""A proof-of-stake validator node. The rooms, from the bottom up (a room imports only from below it):

primitives/   nouns: transactions, blocks, votes, validator sets, proofs; frozen values and their one encoding
wallet, client  build and sign transactions; talk HTTP to a node
seams/        the vocabulary between the rooms: inputs, effects, events and the protocols
ledger/       rules of value: accounts, the life of stake, and the authenticated state
consensus/    rules of agreement: the lottery, the votes, Tendermint
genesis.py    what all nodes of a chain share; demo_chain.py is the built-in one
node/         the core, pure: joins rules, pool, sync and gossip behind handle(input, now) -> effects
runtime/      the shell: asyncio, WebSocket, SQLite, keys and remote signers, logs
simulator/    the other shell: a heap, a seed, and the same core
api/          FastAPI over the runtime
commands/     the command line
"""

__version__ = "0.1.0"
