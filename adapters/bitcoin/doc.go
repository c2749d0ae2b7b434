// Package bitcoin is the adapter to the Bitcoin network: a P2P client that follows headers, fetches the blocks which the replicated
// state (btc/utxo) asks for, and announces transactions. It needs no RPC and trusts no peer: headers are checked for work and
// linkage before they are kept, bodies against their headers before they are handed out.
//
// # Use
//
//	a, err := bitcoin.New(bitcoin.Config{Network: btc.Regtest, Peers: []string{"127.0.0.1:18444"}})
//	items := a.Successors(state.Request())   // when a proposal is made
//	a.Announce(state.Outgoing())             // after each block
//
// Successors never waits: it answers with what is there and remembers what was asked, which the adapter then fetches. Changed tells
// when asking again is worth while. What an adapter says is this replica's own view; only what consensus agreed on counts.
//
// # Peers
//
// Configured peers come first and are tried for ever, with back-off. Where there are fewer than two connections, the names in Config.Seeds are
// resolved, 32 addresses of each at most, and again after a minute, two, up to an hour. On public networks addresses that peers tell are added, the
// outbound connections are kept in distinct groups (/16 of IPv4, /32 of IPv6), and good addresses are kept in a file, those last connected first,
// so that a restart does not fall to whoever speaks first. While there are enough connections, a feeler tries an unknown address every two
// minutes; the book takes at most 32 addresses of a group. A peer that sends invalid headers, bodies that are not their headers' or
// nonsense is disconnected and left alone for a day (ten seconds on regtest); one that does not deliver in time is replaced.
//
// # Transactions
//
// A transaction is announced to every peer at once and again with back-off, since nodes may drop it and do not say why: until it
// shows in a block of the best branch, or the state stops listing it. The version message claims to be a full node, because nodes
// delay the transactions of other clients; requests for headers are served, those for blocks answered with notfound.
//
// What others relay is fetched, too, and kept as a view of the memory pool: outputs by address with the time they were first seen
// (Adapter.Mempool). It is this replica's own, unproven view, for showing deposits before a block holds them. A transaction leaves it with the
// block that holds it or spends its inputs, when another one replaces it, after two weeks, and when newer ones need the room; it needs a
// second announcer where there are several peers. Peers that offer it (BIP35) are asked for what they hold already.
//
// # Bounds
//
// One message: 4 MB for a block, far less for the others. Bodies in memory: 64 MiB. The memory pool's view: 50,000 transactions, 32 MiB,
// 5,000 open requests. Each peer: 16 blocks and 1,000 transactions in flight, 1,024 queued messages. Headers: those of
// chain.Params.MaxHeaders above the adapter's own anchor in memory, the older ones in Config.Store.
package bitcoin
