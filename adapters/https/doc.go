// Package https makes one HTTPS request for a canister, within limits, and lets it reach only what the operator of this replica allows.
//
// Whoever installs a canister chooses where this machine connects to, so everything about the other side is hostile, and so is the request. A Client
//
//   - connects to addresses of the public internet only. The address is checked when the connection is made, after the name was resolved, so a name
//     that resolves to something else the second time wins nothing. Private, loopback, link-local, shared, multicast and reserved
//     ranges are refused, IPv4 within IPv6 too, and so are cloud metadata services and this machine's own addresses. What an operator allows
//     in addition is Config.Allow;
//   - follows no redirect: the canister gets the response with its Location, and decides;
//   - speaks HTTP/1.1 over TLS 1.2 or later, verified against the system's roots, one connection for each request, without proxy, cookies or credentials;
//   - reads no more than the request allows, headers included, decompresses nothing, and gives up after Config.Timeout, however slowly bytes come.
//
// What it returns is canonical where that can be had for nothing: header names in lower case and in order. Errors say the same words at every replica
// that met the same failure, without addresses, times or the operating system's texts, because the replicas have to agree on them
// as well. The details go to the log.
package https
