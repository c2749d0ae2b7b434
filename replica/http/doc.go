// Package http is the public HTTP interface of a replica (interface specification, section "HTTPS interface").
//
//	GET  /api/v2/status
//	POST /api/v2/canister/<id>/call                  asynchronous: 202, or a reject from before the subnet saw the call
//	POST /api/v3/canister/<id>/call, /api/v4/…       synchronous: waits for the certificate of the answer, then 202
//	POST /api/v4/subnet/<id>/call                    creation of canisters only
//	POST /api/v2/canister/<id>/query, /api/v3/…      signed by this node
//	POST /api/v3/subnet/<id>/query                   list_canisters only
//	POST /api/v2/canister/<id>/read_state, /api/v3/…
//	POST /api/v2/subnet/<id>/read_state, /api/v3/…
//	GET  /health                                     200 when healthy, else 503 and why
//	GET  /ready                                      200 when calls should be sent here, else 503 and why
//	GET  /metrics                                    if Config.Metrics is set
//
// and, where Config.Gateway is set, the dashboard and the pages of canisters at hosts of their own: packages face and gateway.
//
// A [Handler] does the protocol: encodings, limits, who may read which path, which canister a request is about, certificates. What
// a replica knows and does comes from a [Backend], which the replica's wiring implements. There is nothing of an operator's here: no
// administration, no profiling, no files.
//
// Requests come from anybody: bodies and times are bounded, and [Limits] bound connections, the rate and the number of requests, and the
// memory that bodies and unread answers hold, per client and in all. What a request's signatures cost to check is counted before they are checked, so that a flood is refused cheaply: 429, with
// Retry-After. The Host header must be one of Config.AllowedHosts where that is set, so that a web page cannot reach a developer's
// network by pointing its own name at it. Browsers of every origin may use the API, as on the Internet Computer: its authentication
// does not depend on who makes the request.
//
// The subnet is its own root: certificates have no delegation, and both forms of canister ranges are served at the paths where
// the specification has them.
package http
