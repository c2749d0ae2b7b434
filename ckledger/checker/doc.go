// Package checker is the Bitcoin checker: it tells a minter whether a transaction spends coins of an address on a list of blocked addresses, and
// whether an address is on it. It has the interface of the Internet Computer's checker canister, so that its clients work unmodified.
//
// Book is the core: what is known of transactions, what a check still needs, what that costs and what the verdict is. It holds no clock and calls
// nobody. Canister is the shell that sends the HTTPS outcalls, and cmd/checker the program that cdk/build compiles.
//
// # What is checked
//
// A transaction has passed when the address of every output that it spends is known and none is blocked. So the transaction is fetched, and then
// each transaction before it. A coin that was just mined comes from nobody and passes. An output that pays to a bare public key counts as that
// key's P2PKH address; other outputs without an address cannot be judged, and the answer is an error that no retry changes.
//
// Only the addresses that a transaction spends directly are looked at, not those further back.
//
// Blocked are the addresses of the built-in list (blocklist.txt, which names its source) and the operator's own, the argument blocked_addresses.
// The mode AcceptAll looks at nothing and passes everything, RejectAll fails everything.
//
// # Trust
//
// Explorers are asked in turn and believed nothing: a transaction is taken when its bytes have the hash that was asked for, and from then on it
// needs no trust. An explorer can only refuse. The transform, which runs at every replica, keeps of a response the transaction without its
// witness, so replicas agree whatever headers and error pages they were sent, and blocks carry no witness data.
//
// On a private network (regtest) the node at json_rpc_url is asked by getrawtransaction. The node needs its index of transactions (txindex),
// the replicas must be allowed to reach it, and the URL's user and password are readable for who can read the canister's memory.
//
// # What it costs
//
// The caller attaches 40 B cycles. The service fee of 0.1 B is kept in any case; each outcall takes its price, and what remains goes back. A
// response may have 4 kB, and 400 kB when that was too little; with num_subnet_nodes 34 that is 0.3 B and 11.4 B. A check that needs more than
// was attached says Pending, and goes on where it was when it is called again.
//
// # Bounds
//
// At most 50 outcalls are under way, 20 of them for one check; beyond that the answer is HighLoad. What was fetched is kept, oldest out first, up
// to 10,000 transactions and 32 MB, on the heap: an upgrade forgets it, and it is fetched again. Configuration is in stable memory.
package checker
