// Package contracts holds the contracts that this product brings to Ethereum, compiled, with their bindings.
//
// CkDeposit is the helper for deposits of ether and tokens to an account of ICRC-1; CkEthDeposit and CkErc20Deposit are its two
// predecessors, with the interfaces that clients of them know. They own nothing, have no owner and cannot be changed: what comes in goes
// on to the minter in the same transaction, or the transaction reverts. Beyond what the interfaces ask they
//
//   - refuse an amount of zero, a token without code, and, in CkDeposit, a principal for which nothing could be minted, while
//     the money is still the sender's;
//   - compare the minter's balance before and after, so a token that takes a fee, rebases or lies is refused rather than minted for;
//   - cannot be entered twice, so a token that calls back cannot have one transfer counted twice.
//
// The other contracts are for development networks and tests: DevToken (an ERC-20 token that its deployer mints), QuietToken and
// OddToken (tokens as they exist: no return value, fees, lies, callbacks), RefusesEther (a recipient that cannot be paid) and DevSwap (an
// exchange with the calls of a Uniswap V2 router).
//
// # Deploying
//
// DeployDeposit and its siblings send the creation, wait until it is mined and check what stands there. Reason says why a call
// reverted, in the contracts' own words. Event turns a log into what package eth parses.
//
// # Compiling
//
// The sources are in solidity/. `make contracts` compiles them with solc from npm and writes artifacts/ and bindings.go, which are
// committed, so that building needs neither. The output depends on nothing but sources and compiler; the real tier compares.
package contracts
