// Package eth is Ethereum without a node: addresses and hashes, EIP-1559 transactions, signatures with their recovery id, the
// digests of EIP-191 and EIP-712, the calls and events of the helper contracts and of ERC-20 tokens, and fees.
//
// It is the leaf under everything that speaks Ethereum: the JSON-RPC room (eth/rpc), the checks of headers, receipts and accounts
// (eth/proof), the adapter, the ckETH minter and canisters that own an address. Those run as WebAssembly, so this package needs
// nothing but secp256k1, Keccak-256, 256-bit integers and the byte-level part of go-ethereum's rlp, has no goroutine, clock, socket
// or randomness, and reads no file. eth/contracts and eth/proof build on all of go-ethereum and stay outside of canisters.
//
// # Sending
//
// A wallet fills a Transaction, has SigningHash signed elsewhere and attaches the result with Sign, which takes r‖s as threshold
// signing yields it, lowers s (EIP-2) and finds the recovery id by comparing with the key. Signed.Raw is what a node takes,
// Signed.Hash what it will be called. A retry may sign the same nonce with another nonce of the curve: the hash changes, the
// sender and nonce do not.
//
// EstimateFee and Bump say what to offer. A replacement must raise both fees by a tenth or nodes refuse it; Bump does.
//
// # Receiving
//
// ParseDeposit reads the events of the three helper contracts, ParseTransfer the one of ERC-20. Both are strict: exact numbers of
// topics and words, zero padding, no trailing bytes. An event with the right shape that nothing can be minted for (an amount of
// zero, a principal that is none) comes back with what it says and an error that wraps ErrDeposit. Who emitted the event is for the
// caller to check, by Deposit.Contract: any contract can emit any event.
//
// Amounts are wei or a token's smallest unit, as uint256.Int.
package eth
