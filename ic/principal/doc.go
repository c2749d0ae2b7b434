// Package principal holds the identifiers of the Internet Computer: users, canisters, subnets and nodes.
//
// A principal is a blob of at most 29 bytes with a textual form that carries a checksum (interface specification, section
// "Principals"). The package imports nothing of ours; everybody imports it.
package principal
