// Package eth holds what of Ethereum is needed without a node: today, addresses.
//
// It is pure: no socket, clock or randomness, so that canisters can use it.
package eth
