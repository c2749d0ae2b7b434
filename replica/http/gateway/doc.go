// Package gateway shows canisters to web browsers (HTTP gateway protocol specification): a request for http://<canister id>.localhost:4943/path becomes a
// query of the canister's http_request, and what it answers goes to the browser if, and only if, it is what the canister certified.
//
// # Which canister
//
//	<canister id>.<domain>        the canister's own host, and with it an origin of its own in the browser
//	<canister id>.raw.<domain>    the same without verification, for canisters that certify nothing; what one replica says is what you get
//	<host>/?canisterId=<id>       for programs that cannot resolve names below localhost; also where a Referer says so, so that a page's files are found
//
// Domains are the entries of the replica's allowed hosts that begin with a dot; any other name is refused before it comes here. All canisters share the
// origin of ?canisterId=: it stores no cookies, serves no service workers, and is not for pages that keep secrets. Below /api/ every host serves the
// replica's own interface, so a page calls its canister without asking another origin.
//
// # What is verified
//
// The replica that answers is not trusted, even though the gateway runs inside it: each response must carry an IC-Certificate header whose certificate has
// the subnet's signature, is at most five minutes old (or ahead), and shows certified data that is the root of the header's tree, and the tree must
// certify the response (package ic/httpcert): in version 2 status, headers and body, and the request where the canister says so; in version 1 the body for the path. Version 1 is taken
// only from canisters whose public metadata section supported_certificate_versions does not offer version 2.
//
// Only certified headers are passed on in version 2. Version 1 certifies none, so redirects are refused, headers that would last or lead elsewhere are
// dropped, and browsers are told to ask again each time. A canister may certify that a path is not certified ("skip"); its responses then pass as they are.
//
// A body is held back until it is verified as a whole, also one that is streamed by callbacks. Bodies of more than Config.MaxBody go in certified ranges: to
// a request without a range, a response with status 206 is its first part, the gateway asks for the others, verifies each by itself, and passes them on as one
// body. If one does not verify, the connection is cut.
//
// "upgrade" makes the gateway repeat the request as an anonymous update call of http_request_update, whose certified answer needs no other certification.
//
// # What it refuses
//
// Requests and responses are bounded in size, time and number (Config): a body in bytes and parts, a query, and all queries of a streamed body or a range
// together. Redirects are the browser's to follow, and nothing is cached here. What goes wrong becomes a page that says in words what happened and what to do:
// 400 for a name that is no canister's, 404 where there is no canister or it serves no pages, 413, 429, 502 where the canister fails or answers nonsense, 503 where the answer does
// not verify or the replica is not ready.
package gateway
