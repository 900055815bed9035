"""Every error that leaves the room where it is raised, in one tree; what stays within one is defined there.

A peer or a user being wrong is an exception that is expected: it carries data and a stable `code`, which logs, API
and tests all use. The node itself being wrong is an assert and a crash, and has no class here.

BlockchainError
├── MalformedMessage          bytes that are not the canonical encoding of what they claim to be
├── InvalidSignature          a signature that does not verify
├── InvalidProof              a Merkle, state or VRF proof that does not verify
├── InvalidReceipt            a lottery receipt that does not hold
├── InvalidKey                a key, or a key file, that cannot be used
├── InvalidAddress            text that is not an address
├── UnsafeLibrary             an installed library answers differently from the written rule
├── InvalidTransaction        a transaction that does not apply (the code says why)
├── InvalidBlock              a block that breaks a rule (its forger's fault)
├── InvalidCertificate        a certificate that proves nothing (the fault of whoever serves it)
├── ForkFound                 two blocks of one height are both certified: agreement is broken
├── InvalidEvidence           evidence that accuses nobody
├── InvalidGenesis            a genesis that is wrong, unsafe or could never be live
├── PeerFault                 a peer broke a rule of the wire
│   └── HandshakeFailed       a connection that never came to be, and why
├── ChannelClosed             an encrypted channel that ended
├── SigningRefused            the signer's record forbids this signature
├── HistoryRefused            a signing history, or a moved validator, that cannot be taken over
├── StoreError                the store cannot be opened or is damaged
├── ConfigError               a setting that cannot be used
├── PortInUse                 a port is taken by somebody else
├── KeyFileError              a key file that is missing, unreadable, or of another kind
├── NodeUnreachable           a client found no node, or got an answer it cannot read
├── RequestRefused            a client got a problem document for an answer
└── Refusal                   a request that the API answers with a problem document
"""

from __future__ import annotations


class BlockchainError(Exception):
    """What all expected errors share: `code`, stable and machine-readable, and a one-line message."""

    code: str = "error"


class MalformedMessage(BlockchainError):
    """Bytes that are not the canonical encoding of what they claim to be, or exceed a limit."""

    code = "malformed"

    def __init__(self, why: str) -> None:
        super().__init__(f"malformed message: {why}")
        self.why = why


class InvalidSignature(BlockchainError):
    code = "invalid_signature"

    def __init__(self, what: str) -> None:
        super().__init__(f"the signature of {what} does not verify")
        self.what = what


class InvalidProof(BlockchainError):
    code = "invalid_proof"

    def __init__(self, what: str) -> None:
        super().__init__(f"the proof does not verify: {what}")
        self.what = what


class InvalidReceipt(BlockchainError):
    """A lottery receipt that does not hold; `field` names what is wrong in it."""

    code = "invalid_receipt"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"the receipt does not hold: {field}: {why}")
        self.field = field
        self.why = why


class InvalidKey(BlockchainError):
    code = "invalid_key"

    def __init__(self, what: str) -> None:
        super().__init__(f"unusable key: {what}")
        self.what = what


class InvalidAddress(BlockchainError):
    code = "invalid_address"

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"not an address: {text[:80]!r}: {why}")
        self.text = text
        self.why = why


class UnsafeLibrary(BlockchainError):
    code = "unsafe_library"

    def __init__(self, what: str) -> None:
        super().__init__(f"an installed library breaks the rules of this chain: {what}")
        self.what = what


class InvalidTransaction(BlockchainError):
    """A transaction that does not apply. `code` is one of the stable codes of docs/protocol.md §3.4."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class InvalidBlock(BlockchainError):
    """A block that breaks a rule; `field` names the part that does."""

    code = "invalid_block"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"invalid block: {field}: {why}")
        self.field = field
        self.why = why


class InvalidCertificate(BlockchainError):
    code = "invalid_certificate"

    def __init__(self, why: str) -> None:
        super().__init__(f"invalid certificate: {why}")
        self.why = why


class ForkFound(BlockchainError):
    """A valid certificate for another block at a final height: more than a third of the stake signed both.

    `proof` is the encoded pair of certificates (`primitives.vote.Fork`).
    """

    code = "fork"

    def __init__(self, height: int, proof: bytes) -> None:
        super().__init__(f"two blocks of height {height} are certified: more than a third of the stake signed both")
        self.height = height
        self.proof = proof


class InvalidEvidence(BlockchainError):
    code = "invalid_evidence"

    def __init__(self, why: str) -> None:
        super().__init__(f"invalid evidence: {why}")
        self.why = why


class InvalidGenesis(BlockchainError):
    code = "invalid_genesis"

    def __init__(self, why: str) -> None:
        super().__init__(f"invalid genesis: {why}")
        self.why = why


class PeerFault(BlockchainError):
    """A peer broke a rule that it must keep; `reason` is stable, `why` is for people."""

    code = "peer_fault"

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(f"{reason}: {why}")
        self.reason = reason
        self.why = why


class HandshakeFailed(PeerFault):
    """A connection that never came to be: another chain, another version, a stolen identity, garbage."""

    code = "handshake_failed"


class ChannelClosed(BlockchainError):
    code = "channel_closed"

    def __init__(self, why: str) -> None:
        super().__init__(f"channel closed: {why}")
        self.why = why


class SigningRefused(BlockchainError):
    """The signer's record forbids this signature: it would contradict one already made."""

    code = "signing_refused"

    def __init__(self, why: str) -> None:
        super().__init__(f"refused to sign: {why}")
        self.why = why


class HistoryRefused(BlockchainError):
    """A signing history or a moved validator in a file: damaged, of another chain, or against what is on record."""

    code = "history_refused"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class StoreError(BlockchainError):
    """The store cannot be opened, belongs to another chain, is of a newer version, or is damaged."""

    code = "store"


class ConfigError(BlockchainError):
    code = "config"


class PortInUse(BlockchainError):
    code = "port_in_use"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"port {port} on {host} is already in use: stop what uses it, or choose another port")
        self.host = host
        self.port = port


class KeyFileError(BlockchainError):
    code = "key_file"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"key file {path}: {why}")
        self.path = path
        self.why = why


class SignerUnreachable(BlockchainError):
    code = "signer_unreachable"

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"the signer at {address} cannot be reached: {why}")
        self.address = address
        self.why = why


class NodeUnreachable(BlockchainError):
    code = "node_unreachable"

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"no answer from {url}: {why}")
        self.url = url
        self.why = why


class RequestRefused(BlockchainError):
    """The node answered with a problem document; `code` is the problem's."""

    def __init__(self, status: int, code: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.code = code
        self.why = why


class Refusal(BlockchainError):
    """A request that is answered with a problem document; `members` are extension members of it.

    `retry_after`: the seconds after which the same request may succeed; 0 where waiting does not help.
    """

    def __init__(self, status: int, code: str, detail: str, *, retry_after: float = 0, **members: object) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.members = members
