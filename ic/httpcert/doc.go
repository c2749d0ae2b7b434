// Package httpcert is the certification of HTTP responses that canisters give (HTTP gateway protocol specification, section "Response
// verification"), seen from both sides: a canister builds with it what a gateway checks with it.
//
// A canister keeps a hash tree whose root is its certified data. Under "http_assets" (version 1) the tree maps a path to the hash of
// a body. Under "http_expr" (version 2) it holds, at an expression path such as
//
//	http_expr / assets / app.js / <$> / hash of the expression / hash of the request, or "" / hash of the response
//
// empty leaves. The last label of the path proper says whether it stands for exactly this path (<$>) or for everything below it (<*>); a
// trailing slash is a label "". An [Expression] says what of request and response goes into the hashes. The response carries it in the
// header IC-CertificateExpression, and in IC-Certificate the subnet's certificate, the part of the tree that proves the response, and
// the expression path. That no more specific path is in the tree must be proven too.
//
// [Header] is the parsed IC-Certificate, [Check] is the verification below the certificate. Who calls Check has verified the
// certificate's signature, age and subnet, and that the tree's digest is the canister's certified data: that needs BLS and lives in
// replica/http/gateway, so that this package stays small enough for canisters.
//
// Where the specification and the gateways in use differ, this package does what they do: paths are percent-decoded before they are
// compared, the pseudo header of the query is there only if the URL has a "?", and query parameters match without regard to case.
package httpcert
