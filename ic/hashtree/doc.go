// Package hashtree holds the hash trees in which the Internet Computer certifies state (interface specification, section
// "Certification"): a tree of labels and values whose root hash commits to all of it, and of which parts can be revealed while
// the rest is pruned to hashes.
//
// There are two forms of the same tree.
//
//   - [Node] is a tree as it travels in a certificate: built of [Empty], [Fork], [Labeled], [Leaf] and [Pruned], encoded as
//     CBOR, searched with [Lookup]. It says of each path whether it is there, provably absent, or not decidable.
//   - [Map] is the tree as its owner keeps it: a persistent ordered map from paths to values. Insert and Delete return a new
//     Map and leave the old one valid, so a snapshot costs nothing; its shape depends only on its content, never on the order
//     of changes, so replicas agree on the root hash. [Map.Witness] makes the Node that reveals some paths, with the proof of
//     absence for those that do not exist.
//
// A Map is a crit-bit trie in each level: labels are read as strings of 9-bit symbols (0 for the end, 256 + byte otherwise), so
// that the order of the trie is the byte order of labels and a label sorts before its extensions, which is what absence
// proofs need. Hashes are computed when first asked for and kept; changing many paths and asking once costs one hash per
// changed trie node. Any number of goroutines may read one Map, and ask for its hash, at the same time.
//
// The package imports only ic/cbor and builds for wasm, where canisters use it for certified data.
package hashtree
