// Package agent is a client of the Internet Computer's HTTP interface that believes nothing it has not verified.
//
// An [Agent] signs requests with an identity, sends them to one replica and checks what comes back: the certificates of calls and of
// state reads against the root key, and the node signatures of queries against the node keys that the subnet certifies. What it
// returns is what the subnet said, or an error; a dishonest replica can be silent or late, no more.
//
//	a, err := agent.New("http://127.0.0.1:4943", agent.Options{Identity: id, RootKey: key})
//	err = a.Update(ctx, ledger, "icrc1_transfer", []any{arg}, []any{&result})
//	err = a.Ask(ctx, ledger, "icrc1_balance_of", []any{account}, []any{&balance})
//
// It speaks the newest version of each endpoint that the replica has, back to the asynchronous calls of version 2. Calls are answered
// in one request where the replica is quick; otherwise the agent polls until there is an answer or the call can no longer be
// executed. Refusals for overload and failures of the connection are retried with the same signed request, which a subnet executes at
// most once; waits grow to two seconds, are spread at random and heed Retry-After, and a handful of attempts is all. A refusal because
// of the time says by how much the clocks disagree ([ErrClock]). Errors say which of three things happened:
//
//   - a [RejectError]: the canister or the subnet refused;
//   - [ErrUnknownOutcome]: the call was sent and nobody said what became of it. It may have been executed: ask again with
//     [Agent.Wait] and the request id in the error, an [*OutcomeError];
//   - any other error: the call was not executed.
//
// Verification is remembered per root hash, so the answers of one block cost one pairing. Agents for other users ([Agent.With]) share
// connections and memory. An Agent is safe for concurrent use.
package agent
