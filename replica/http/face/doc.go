// Package face is the replica's dashboard: web pages that show the network live, and where Config.Mode says so also a wallet.
//
//	GET /                           the page; the rest of its address is after the #
//	GET /dashboard/<file>           its style and scripts, embedded as they are written
//	GET /dashboard/state.json       a State
//	GET /dashboard/qr.svg?text=…    a QR code
//
// on every host that is no canister's, and on a host of its own, dashboard.<domain>, for the domains below which canisters have theirs.
// A [Face] stands in front of the gateway and claims these addresses; what it does not claim, it leaves to the gateway. The caller
// gives it a function that tells the State; it is asked at most every StateAge, however many look.
//
// # What the page may do
//
// It speaks to the replica that served it and to nobody else: Content-Security-Policy forbids scripts and styles that are not files of
// this package, requests to other origins, frames around it, and, in browsers that know trusted types, markup made of text. Whatever
// comes from outside becomes text of an element, never markup.
//
// # Whose word it is
//
// Figures are marked. "Certified" is what the subnet's key has signed: the state tree behind State.Certified, and answers to calls.
// "This replica" is what one replica says. The page does not check signatures itself: it comes from the replica whose answers it would
// check, which could as well send a page that does not check. Who does not trust the replica uses the command line or an agent of his
// own, which hold the subnet's key.
//
// # The wallet
//
// In mode Wallet the page at dashboard.<domain> makes a key in the browser (P-256, not extractable, kept in IndexedDB), and signs calls
// with it. The page is served by a replica, and a replica that lies can have the key sign what it likes, so this is for development
// networks; docs/threat-model.md says more. The wallet is never at a host that is shared with canisters: those of ?canisterId= have
// the same origin as the page there, and could use its key.
package face
