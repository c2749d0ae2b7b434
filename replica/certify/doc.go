// Package certify turns what all replicas know into what anybody can check: it signs state roots and beacon heights
// with this replica's share of the subnet's BLS key, exchanges shares by gossip and combines 2f+1 of them.
//
// A Pool keeps one entry for each (domain, height) that is being signed. Shares are collected unverified, the
// combined signature is checked, and only if that fails the bad shares are looked for; who sent one is suspected for
// a while and its shares are used last. Shares carry the payload they are for: when more than f nodes claim another
// payload than ours, we have diverged, which Events.Diverged reports. A single claim proves nothing, not even with a
// valid signature, because an Internet Computer certificate does not sign its height.
//
// Lost messages are healed: as long as an entry is not finished, its share is sent again with a request, and whoever
// has the signature answers with it. A replica that is behind gets the newest signature and keeps it until it has
// executed that far.
//
// # The caller's duties
//
//   - SetKey again when other members' shares of the key came into force, before the first block of theirs is signed;
//   - New before the gossip network starts (it registers a topic), SetKey when the key generation is done, Close at the end;
//   - Sign(domain, height, payload) only after the block of that height is committed: a beacon share that is released
//     before lets others know the beacon before the block's content is fixed (2f+1 shares include f+1 honest ones);
//   - after a restart, Sign the last committed height again; shares are the same bytes every time.
package certify
