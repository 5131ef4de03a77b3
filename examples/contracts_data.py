"""A seeded generator of Solidity-like contracts with known flaws.

Each contract is a few functions, each either with a flaw or its repaired twin made of
nearly the same tokens: the call before or after the balance is written, tx.origin or
msg.sender, a dropped or a required result, an unchecked block or a plain one, a decision by
block.timestamp or an event that merely logs it, a guarded or an open selfdestruct.
Identifiers are renamed at random and comments mention flaws that are not there.
"""

from __future__ import annotations

import numpy as np

from app.analysis.contracts import FLAWS

NAMES = ("balances", "deposits", "shares", "funds", "credit", "stake", "ledger", "accounts")
VERBS = ("withdraw", "claim", "release", "payout", "redeem", "collect", "exit", "settle")
COMMENTS = (
    "// checked for reentrancy",
    "// never uses tx.origin",
    "// block.timestamp is only logged",
    "// selfdestruct was removed",
    "// unchecked on purpose",
    "// reviewed",
    "",
    "",
)

BAD: dict[str, str] = {
    "reentrancy": """function VERB(uint amount) external {
    require(NAME[msg.sender] >= amount);
    (bool ok, ) = msg.sender.call{value: amount}("");
    require(ok);
    NAME[msg.sender] -= amount;
  }""",
    "tx_origin": """function VERB(address to) external {
    require(tx.origin == owner);
    payable(to).transfer(NAME[to]);
  }""",
    "unchecked_call": """function VERB(address to, bytes calldata data) external onlyOwner {
    to.call(data);
    NAME[to] = 0;
  }""",
    "unchecked_arithmetic": """function VERB(uint amount) external {
    unchecked { NAME[msg.sender] = NAME[msg.sender] - amount; }
    emit Changed(msg.sender, amount);
  }""",
    "timestamp_dependence": """function VERB() external {
    if (block.timestamp % 7 == 0) { payable(msg.sender).transfer(NAME[msg.sender]); }
  }""",
    "unprotected_selfdestruct": """function VERB() external {
    selfdestruct(payable(msg.sender));
  }""",
}
GOOD: dict[str, str] = {
    "reentrancy": """function VERB(uint amount) external {
    require(NAME[msg.sender] >= amount);
    NAME[msg.sender] -= amount;
    (bool ok, ) = msg.sender.call{value: amount}("");
    require(ok);
  }""",
    "tx_origin": """function VERB(address to) external {
    require(msg.sender == owner);
    payable(to).transfer(NAME[to]);
  }""",
    "unchecked_call": """function VERB(address to, bytes calldata data) external onlyOwner {
    (bool ok, ) = to.call(data);
    require(ok);
    NAME[to] = 0;
  }""",
    "unchecked_arithmetic": """function VERB(uint amount) external {
    NAME[msg.sender] = NAME[msg.sender] - amount;
    emit Changed(msg.sender, amount);
  }""",
    "timestamp_dependence": """function VERB() external {
    emit Seen(msg.sender, block.timestamp);
    payable(msg.sender).transfer(NAME[msg.sender]);
  }""",
    "unprotected_selfdestruct": """function VERB() external onlyOwner {
    selfdestruct(payable(owner));
  }""",
}
FLAW_SHARE = 0.4


def generate(contracts: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Texts, and which flaws each has: int (contracts, len(FLAWS))."""
    random = np.random.default_rng(seed)
    texts, labels = [], np.zeros((contracts, len(FLAWS)), dtype=np.int64)
    for number in range(contracts):
        chosen = random.choice(len(FLAWS), size=random.integers(1, 4), replace=False)
        parts = []
        for place in chosen:
            flaw = list(FLAWS)[place]
            labels[number, place] = random.random() < FLAW_SHARE
            parts.append(_function(random, (BAD if labels[number, place] else GOOD)[flaw]))
        body = "\n  ".join(parts)
        texts.append(f"contract C{random.integers(1000)} {{\n  {body}\n}}\n")
    return texts, labels


def _function(random: np.random.Generator, template: str) -> str:
    code = template.replace("NAME", str(random.choice(NAMES)))
    code = code.replace("VERB", f"{random.choice(VERBS)}{random.integers(100)}")
    code = code.replace("amount", str(random.choice(("amount", "value_", "wad", "sum_"))))
    if random.random() < 0.15:
        # A modifier the text does not show, on flawed and clean alike: no help to the head.
        code = code.replace("external", "external guarded")
    return f"{random.choice(COMMENTS)}\n  {code}"
