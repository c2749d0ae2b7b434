// Package management is the interface of the management canister, aaaaa-aa: the Candid types of its arguments and results, which
// methods exist, who may call them, and which canister a user's call is about.
//
// The methods themselves are carried out by replica/execution, which owns the canisters; replica/http asks this package for the
// effective canister id of a request. Source of names, types and rules: interface specification 0.66, section "The IC management
// canister", and its ic.did.
package management
