// Package cketh is the ckETH and ckERC20 minter: a canister that holds ether and ERC-20 tokens under the subnet's threshold key and issues ckETH and ckERC20
// tokens for them, one to one.
//
// It serves the interface of the Internet Computer's ckETH minter (testdata/cketh_minter.did); TestServiceStandsInForPublishedInterface proves by
// Candid subtyping that clients of that interface understand this one. Canister registers it on package cdk, cmd/cketh is the program that
// cdk/build compiles, package core is the state machine beneath, which decides everything.
//
// # How it works
//
// Every change of state is an event in a log in stable memory, written first and applied to core.State; an upgrade replays the log. What is on the heap
// besides is forgotten without harm: the public key, fees, which calls are under way.
//
// A timer runs three things. The reader looks at the last final block, makes sure that the final block seen before is still below it, and reads the logs of the
// three helper contracts up to it, at most 500 blocks at a time, less if an answer is too large; a single block whose logs are too large is skipped, and
// recheck takes deposits in it later. The pipeline learns fees, replaces transactions that offer too little, creates new ones and looks which nonces are final.
// The reconciler starts what core.Tasks lists and is not under way. Now and then the chain's balances are compared with what the ledgers issued, and
// the ledgers' blocks with the log.
//
// deposit_status and withdrawal_status tell with a sentence what happens next to each deposit and withdrawal. Deposits of a token that were made before the
// orchestrator added it are taken by recheck.
//
// # Deposits straight from an exchange
//
// get_deposit_address gives each account an address of its own; plain ether sent there is minted after a sweep has moved it to the minter, less the sweep's fee.
// notify_deposit tells the minter to look, at once and for an hour; personal_deposit_status tells what it found. A deposit must be worth ten times
// its sweep. ERC-20 tokens sent there are not found, and a sender cannot be held against the block list: a plain transfer through a contract does not show him.
//
// # Differences from the original
//
//   - get_events shows only the events that the published interface knows. The log also holds intents: what is about to be asked of ledgers or signers.
//   - A withdrawal of ETH whose transaction failed is refunded but for the fee that was really paid.
//   - A withdrawal whose fee Ethereum has outgrown is not stuck: a transaction of the minter to itself takes its nonce, and the amount is minted back.
//     One that never could pay is refunded after a week. So it goes with one whose asset is paused while withdrawals of other assets wait behind its nonce.
//   - An ERC-20 deposit is worth the smaller of what the helper says and of what the token says moved in the same transaction.
//   - When a final block changes, a nonce is used by a foreign transaction, or a ledger burns more than was minted, the minter halts; when the chain holds less of an
//     asset than was issued, that asset is paused. get_minter_info (troubles), the statuses and the log say so; the upgrade argument resume goes on.
//   - While the last final block lies below one that was final before, for three rounds and more, nothing is minted or signed (troubles).
//   - mint_caps bound what is minted per day and asset.
//
// # For operators
//
// Stop the canister before an upgrade: calls that are open then lose their answers. Nothing is lost even without, because every open question is asked again.
// On a development chain (development_chain_id 1337 or 31337) the minter looks every second; elsewhere every three minutes. Which blocks count as
// scanned, and how far answers are verified, is decided where the replicas' own providers are asked: package adapters/ethereum.
//
// After a recovery of the subnet from a backup the minter is halted until a controller calls resume, which refuses until a block of after the recovery is final. Transactions of the main address that the log does not know are
// then read by nonce. One with the payload that a waiting withdrawal would have, and a fee within its amount, becomes that withdrawal's transaction, with its
// receipt; one that fits none needs the controller's word.
//
// Sweeps that the log does not know are found in the same way: of all deposit addresses that it has sweeps of, before resume lets anything go on, and of any other when
// notify_deposit is called for it, also while the minter is halted. Each becomes a deposit like any other, or ends the open sweep with its nonce. What resume finds the
// main address to hold beyond the books is kept for those that come to light later. If they are worth more than that, it has covered something else: they are
// owed all the same, and the minter halts until a controller has paid in what is missing and calls resume.
package cketh
