// Package link turns a Go program built for wasip1 into a canister module of the Internet Computer.
//
// A Go program imports WASI and exports names that Go allows; a canister imports ic0 only and exports names with spaces. Link
//
//   - replaces the WASI imports by functions inside the module: the clock is ic0.time, writes go to ic0.debug_print, exit traps,
//     there are no arguments, files or sleeps, and random_get gives predictable bytes while the Go runtime starts (map order, hash
//     seeds) and traps afterwards, so that no program takes them for secrets;
//   - provides the imports of module "fusion", which stand for things that Go cannot say: table indexes for callbacks, and SHA-256;
//   - exports canister_init, canister_post_upgrade, canister_global_timer, the other hooks and the methods of the Description, each a
//     few instructions around the program's fusion_dispatch. Init and post-upgrade start the Go runtime first: they are the first
//     entry after every install and upgrade, and unlike a start function they may ask for the time;
//   - drops the name section and other custom sections and adds candid:service, candid:args and, from Build, fusion:build as public metadata.
//
// Build compiles a program first, without the elliptic curves of the standard library if nothing in it can use them.
//
// The output depends on the input alone.
package link
