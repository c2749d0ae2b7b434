// Package orchestrator makes and keeps the ledger and the index of every ckERC20 token, and its ledgers make their archives. It has the interface of the Internet Computer's
// ledger suite orchestrator, so that its clients work unmodified.
//
// State is the core: a list of events in stable memory and what follows from them. It holds no clock and calls nobody. Canister is the shell,
// and cmd/orchestrator the program that cdk/build compiles.
//
// # Adding a token
//
// A controller names an ERC-20 contract and the parameters of its ledger, by the upgrade argument AddErc20Arg or by add_erc20. Then the
// canister works by itself: it creates two canisters, installs the ledger (the minter is its minting account) and the index, and tells the
// minter. Each step is tried again until it succeeds, with longer and longer pauses; get_orchestrator_info says in the field problem what
// a token waits for.
//
// # No step twice
//
// Every call may fail, and its outcome may become unknown: the callback traps, or somebody upgrades the canister while the call is open. So
// each step first finds out, or makes sure that doing it again is harmless.
//
//   - Installing and upgrading: canister_status tells which module is there, and an installation over a module is refused. A ledger is
//     installed only in the canister whose id an event holds, so a token has at most one ledger, whatever becomes of the calls.
//   - Creating is the one step whose result nobody can be asked for later. The intention is an event before the call. If no outcome follows,
//     the canister that may have been created holds no code and no tokens; it is counted (lost_canisters) and another one is created. What is lost
//     are at most the cycles for one creation.
//   - Telling the minter: its list of supported tokens is read first.
//   - Cycles: a top-up whose outcome is unknown at worst comes twice, to a canister of ours.
//
// # Modules
//
// The modules of ledger and index are large and are not part of this one. A controller uploads them in chunks of at most 1 MiB
// (upload_module_chunk), and register_module puts chunks together under the hash of the whole. The newest of each kind is what new tokens
// get; the hashes of UpgradeArg choose among the registered ones for the canisters that exist. A module travels to the management canister
// in one message, which may have 10 MiB on one subnet.
//
// A module of the kind archive is put into the chunk store of each new ledger, which makes its archives of it (see package icrc); tokens added while
// none is registered keep all blocks in their ledger. Archives are upgraded like the others, after the index and before the ledger; a ledger goes on
// making them of the module that it was installed with, and those are upgraded once the orchestrator knows them. Every hour the orchestrator asks the ledgers for their archives, shows them and gives
// them cycles like the others. It is one of their controllers.
//
// # Custody
//
// The subnet protects what a custodial canister makes as it protects its maker: where the orchestrator is named in the genesis
// document, nobody can uninstall, delete or reinstall the ledgers that it made.
package orchestrator
