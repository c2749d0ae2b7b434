// Package btc is Bitcoin without I/O: networks, addresses, scripts, transactions, signature hashes, sizes, dust, headers and
// blocks as bytes on the wire.
//
// It is the leaf under everything that speaks Bitcoin: the header chain (btc/chain), the set of unspent outputs (btc/utxo), the
// Bitcoin canister (btc/canister), the P2P adapter and the ckBTC minter. The minter is compiled to WebAssembly, so this package
// depends on nothing but secp256k1 and ripemd160, has no goroutine, clock, socket or randomness, and reads no file.
//
// # Parsing
//
// ParseTx, ParseBlock and ParseHeader read bytes from strangers. They are strict (canonical lengths, no trailing bytes, no empty
// input or output list, no witness flag without a witness), check every count against the bytes that remain before they allocate,
// and alias the given buffer: the caller keeps it unchanged for as long as the result lives.
//
// # Spending
//
// A wallet builds a Tx, asks for the BIP143 digest of each input (SigHashes.P2WPKH), has it signed somewhere else, and
// attaches the result with Tx.SignP2WPKH, which takes r‖s as threshold signing yields it, lowers s (BIP146) and encodes DER.
// VSizeP2WPKH says beforehand what such a transaction will weigh at most. Taproot outputs are spent by their keys with TaprootHashes and Tx.SignP2TR; VSize
// counts both kinds. VerifyECDSA and VerifySchnorr check what came back.
//
// Amounts are Satoshi; fee rates are MillisatPerVByte. Hash is in internal byte order: what explorers print is its reverse.
package btc
