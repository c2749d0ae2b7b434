/*
Package proof makes and checks proofs of reserves: that the bitcoin which a ckBTC minter holds cover all ckBTC that exist.

A proof is a file of calls, each with the certificate that the subnet signed for its reply: icrc1_total_supply of the ledger, get_custody of the
minter (page by page: each output with its outpoint and value, the minter's public keys, what is owed for withdrawals), and the supply once more.
Make needs the network, Verify the root key alone:

	p, err := proof.Make(ctx, agent, minter)
	r, err := proof.Verify(file, rootKey, minter)

Verify recomputes the id of each request from its content and looks it up in the certificate, so that the answer belongs to the question, the
canister and the method that the file claims; it demands that the pages are of one moment and complete, adds up the outputs, derives each output's
address from the minter's key, and compares with the greater of the two supplies, because certificates of calls are never of the very same moment.
Nothing else in the file is believed.

What it proves is what the subnet signed. That the outputs are unspent on Bitcoin anybody checks with a node of his own: Report.Compare asks it for each
(gettxout), and what is unspent must cover the liabilities by itself. A certificate does not grow old by itself; Report.Oldest says how old the
proof is.

There are no such proofs of ckETH and ckERC20 tokens: their minter certifies what it holds (get_minter_info) but not what it owes for withdrawals whose
transactions are not final, and without that sum a shortage of this size would pass as solvent.

The package imports ic, btc and the types of the minters. It is used by fusion proof.
*/
package proof
