// Package ethereum asks Ethereum nodes over JSON-RPC, and believes none of them alone.
//
// # Providers
//
// A Client has the providers that this replica's operator chose, and an answer counts if as many distinct operators as Config.Quorum give the same one, byte by
// byte in the canonical form of eth/rpc. The quorum is less than the number of operators, so that one who is down stops nothing. As many
// providers as must agree are asked at once, and one more for each that fails, differs, or is later than Config.Hedge.
//
// A provider that fails rests for a second, and twice as long after each further failure, up to Config.MaxRest; afterwards one probe, beside the queries,
// says whether it is back. Every provider's chain id is checked before its first answer and every Config.CheckChain again; on another chain it is out. Responses
// are bounded, redirects are not followed, no cookies are kept, and the environment's proxy is not used. Keys in URLs and headers appear nowhere: of a URL only the
// host is shown, and what a provider says is searched for keys before it is.
//
// # Answers
//
// Query returns a result, or an error that says who said what. Ask returns the same as an rpc.Answer that names nobody, on which replicas with other
// providers can agree. What an error means:
//
//   - ErrUnavailable: fewer operators answered than must agree. Try again; the log says why each failed.
//   - ErrDisagree (a *DisagreeError): enough answered, but not the same. At the tip of the chain this passes; below it, somebody lies or is on a branch.
//   - ErrTooLarge: ask for less. A quorum found the answer too large, or those who did are what the others lack to a quorum.
//   - ErrUnverified: what was answered does not hold against the chain, at no provider.
//   - ErrStale: the beacon chain's finality does not advance. Nothing is final until it does.
//   - ErrNode (and an *rpc.Error): the nodes agree to answer with an error. It is in the same words whichever software they run.
//
// A transaction (eth_sendRawTransaction) goes to all providers, and one that takes it is enough. Its hash is computed and not taken from an answer; that a node
// has it already, or that its nonce is used by itself, is success.
//
// Height is the newest block with a tag that a quorum has, and on whose hash it agrees. Ask for everything else by that number.
//
// # Verification
//
// With Config.Verify, for chains whose blocks are Ethereum's, answers are checked by package eth/proof. A block's hash is anchored: it leads by parent hashes to a
// block that Config.Finality (package beacon) knows to be final, or, where there is no light client and above the final block, a quorum agrees on it. What
// can be proven from it needs no quorum, so one provider is asked after another until one gives what holds:
//
//   - eth_getLogs: every header of the range is verified and linked. Where its bloom filter does not exclude the filter, all receipts of the block are fetched and
//     must reproduce the receipts root, and its transactions their root. The answer is made from those, so a provider can neither invent a log nor withhold one.
//   - eth_getTransactionReceipt: computed in the same way and compared with what the quorum says. That there is none rests on the quorum.
//   - eth_getBalance, eth_getTransactionCount at a number: by eth_getProof from the state root. Where no provider has the state any more, the quorum decides.
//   - eth_getBlockByNumber: the header's hash is recomputed, and compared with the anchor.
//
// Everything else (eth_call, eth_feeHistory, other methods) rests on the quorum. Verified headers are kept, within bounds.
//
// # Providers that canisters name
//
// AskOne asks one provider through the client of HTTPS outcalls, with its policy of addresses. It neither retries nor compares: replicas agree on what it returns.
//
// Stats has the counters and the health of each provider, for metrics. A Client has goroutines only while something is asked; Close waits for them.
package ethereum
