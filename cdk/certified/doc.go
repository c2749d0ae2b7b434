// Package certified lets a canister answer queries that nobody between it and the reader can change: certified data with witnesses, and web
// pages whose certification HTTP gateways verify.
//
// A query is answered by one replica, which may lie. What a canister puts into its [Map] is certified by the subnet: the root of the Map is the
// canister's certified data, and [Map.Proof] gives the certificate and the part of the tree that prove a value, or that there is none.
//
//	var m *certified.Map                        // made in the setup function: certified.NewMap(c)
//	m.Put([]byte("42"), "balances", "alice")    // in an update
//	m.Commit()
//	m.Proof([]string{"balances", "alice"})      // in a query: the certificate and the tree
//
// A [Site] is a Map that also serves pages at http_request, certified so that any gateway shows them: version 2 (status, headers and body) and,
// for the pages at a path of their own, version 1 (body).
//
//	func Canister(c *cdk.Canister) {
//		s := certified.NewSite(c)
//		fill := func() {
//			s.Page("/", certified.Page{Type: "text/html; charset=utf-8", Body: index})
//			s.Below("", certified.Page{Status: 404, Type: "text/plain", Body: []byte("nothing here")})
//			s.Commit()
//		}
//		c.OnInit(fill)
//		c.OnPostUpgrade(fill)
//	}
//
// Both live on the heap: fill them again after an upgrade. Whoever changes one calls Commit in the same message, else queries answer with proofs that do
// not match the certified data and gateways refuse them.
//
// # What a Site does
//
// [Site.Page] serves one path, [Site.Below] everything below one that has no page of its own; the longest wins. [Site.Redirect] sends readers elsewhere.
// A body above [ChunkSize] is served in certified ranges, which gateways put together again.
//
// [Site.OnUpdate] handles requests that change something, such as a POST: the query answers "upgrade", the gateway repeats the request as an update call,
// and consensus takes the place of the certification. [Site.Live] serves what changes too fast for either: it is certified to be uncertified, and one replica
// can answer whatever it likes.
//
// The certification of a page does not cover the request. One replica can answer a POST for a path that also has a page, or lies below one, with that page
// instead of the upgrade.
package certified
