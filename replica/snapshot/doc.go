// Package snapshot makes images of the replicated state and restores a state from another replica's image, so that a new or
// wiped replica need not execute all blocks.
//
// # What an image is
//
// The stream is every replicated key with its value, in ascending order of the keys: all that the app hash covers (canisters with
// their heaps and stable pages, queues, the UTXO set, ceremonies), and nothing else; package state's local values stay where they
// are. It is cut into pieces of ChunkBytes, each compressed by itself. The manifest names the network, the height, the sizes
// and the hash of each chunk; its own hash names the image. Replicas that made an image at one height usually made the same bytes,
// so that a joiner can fetch from all of them; where compression differed it fetches from one.
//
// Store makes images in the background, from a view of one committed block that the database keeps, and holds the newest ones
// in a directory. An image is there whole or not at all.
//
// # What is believed
//
// Nothing that comes with an image. A chunk counts only if it has the hash that the manifest gives, so a peer that sends another one is
// found out at once. That the manifest itself is true shows at the end: Restore computes the accumulator over the received keys itself, and
// the app hash that follows from it must be the one in a header that the caller trusts. Keys must ascend strictly, because the accumulator
// adds up: a key that came 65,536 times would vanish from it. Sizes and counts are checked before memory is taken; what is in
// memory at a time is a chunk and one value.
//
// # The caller's duties
//
//   - Make gets a view of exactly the height that it is told;
//   - one Make runs at a time;
//   - what a refused or cut short Restore wrote is removed by whoever owns the directory.
package snapshot
