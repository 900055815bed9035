"""What does the state root cost? µs for each changed key, and bytes of memory for each key.

    python benchmarks/state_tree.py [keys ...]        default: 10,000 and 1,000,000 keys

Prints a table, writes JSON with --json FILE. Batches of 2,000 existing keys with new values, drawn at random; medians
of 15 batches. `sha256` is one hash of 65 bytes at that moment, the unit to read the rest by. `speculate` includes the
leaf hashes, `commit` writes the speculation into the tree, `grow` is the one commit that doubles the flat part.
`prove` and `verify` are for one absent key. Memory is what tracemalloc sees of the built tree; `peak` includes what
building needs for a moment.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tracemalloc
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from blockchain.ledger.smt import SparseMerkleTree
from blockchain.primitives.smt_proof import verify_proof

BATCH_KEYS = 2_000
BATCHES = 15
VALUE_BYTES = 60  # an encoded account is about as long


def key_of(number: int) -> bytes:
    return sha256(number.to_bytes(8, "big")).digest()


def items(count: int) -> Iterator[tuple[bytes, bytes]]:
    value = bytes(VALUE_BYTES)
    return ((key_of(number), value) for number in range(count))


def microseconds_per_key(seconds: list[float]) -> float:
    return round(statistics.median(seconds) / BATCH_KEYS * 1e6, 2)


def measure_time(count: int) -> dict[str, float]:
    pairs = list(items(count))
    started = perf_counter()
    tree = SparseMerkleTree(pairs)
    built = perf_counter() - started
    del pairs
    proofs = measure_proofs(tree, count)  # before any value changes
    rng = random.Random(1)
    speculated, committed = [], []
    for number in range(BATCHES):
        value = number.to_bytes(VALUE_BYTES, "big")
        changes = {key_of(rng.randrange(count)): value for _ in range(BATCH_KEYS)}
        started = perf_counter()
        speculation = tree.speculate(changes)
        between = perf_counter()
        tree.commit(speculation)
        committed.append(perf_counter() - between)
        speculated.append(between - started)
    return {
        "keys": count,
        "sha256_us": round(measure_sha256(), 2),
        "build_s": round(built, 2),
        "speculate_us": microseconds_per_key(speculated),
        "commit_us": microseconds_per_key(committed),
        **proofs,
        "grow_s": round(measure_growth(tree, count), 2),
    }


def measure_sha256() -> float:
    """One hash of a branch, µs."""
    pair = bytes(65)
    started = perf_counter()
    for _ in range(200_000):
        sha256(pair).digest()
    return (perf_counter() - started) / 200_000 * 1e6


def measure_proofs(tree: SparseMerkleTree, count: int) -> dict[str, float]:
    """A proof that one key is absent, made and checked, µs each."""
    keys = [key_of(number) for number in range(count, count + 500)]
    started = perf_counter()
    proofs = [tree.prove([key], lambda _: bytes(VALUE_BYTES)) for key in keys]
    made = perf_counter()
    for key, proof in zip(keys, proofs, strict=True):
        verify_proof([key], proof, tree.root)
    checked = perf_counter()
    return {
        "prove_us": round((made - started) / len(keys) * 1e6, 1),
        "verify_us": round((checked - made) / len(keys) * 1e6, 1),
    }


def measure_growth(tree: SparseMerkleTree, count: int) -> float:
    """The one commit that doubles the flat part, in seconds."""
    needed = tree.slots + 1 - len(tree)
    speculation = tree.speculate({key_of(count + number): b"new" for number in range(needed)})
    started = perf_counter()
    tree.commit(speculation)
    return perf_counter() - started


def measure_memory(count: int) -> dict[str, float]:
    tracemalloc.start()
    tree = SparseMerkleTree(items(count))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"bytes_per_key": round(held / len(tree)), "peak_bytes_per_key": round(peak / len(tree))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keys", nargs="*", type=int, default=[10_000, 1_000_000])
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    rows = [{**measure_time(count), **measure_memory(count)} for count in arguments.keys]
    print("  ".join(f"{name:>18}" for name in rows[0]))
    for row in rows:
        print("  ".join(f"{value:>18,}" for value in row.values()))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
