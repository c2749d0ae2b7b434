// Package canister is the EVM RPC canister: the interface through which other canisters ask nodes of Ethereum and of chains like it, and send
// transactions to them. Its Candid is that of the Internet Computer's EVM RPC canister, so clients of that one work unchanged.
//
// It is not WebAssembly but part of the replica, and pure: Call makes of a call what the replicas have to find out (Ask), or the answer; Resume makes of
// their answers the canister's answer, or asks again. What it owns is a kv.Store of its own with the keys of providers. It never shows them.
//
// # Who is asked
//
// A call that names services has each of them asked through its URL by every replica. The replicas agree on what each service said, and the
// call's consensus strategy on what the services said together: Consistent or Inconsistent. A call for the chain that the genesis document names, without
// services, is answered by the replicas' own providers, of which each replica has others and believes what several say alike; that is one agreed
// answer, always Consistent. On a development chain it is the way to ask: Custom with the chain's id and no services.
//
// # By number
//
// latest, safe and finalized mean another block for each replica and a moment later. So the replicas first settle which number it is, and everything is
// asked by number (Ask.Height). pending, on which nodes never agree, stands for latest.
//
// # Cost
//
// A service costs what an HTTPS outcall of the same size costs on the subnet. A collateral of ten million cycles per node must be sent with each and
// comes back. A response larger than was estimated is asked for again with room for twice as much, and paid for again. The replicas' own
// providers cost what three services would, and a response that is larger than estimated costs what it is. In demo mode, as on local networks, nothing costs anything.
//
// # Differences from the original
//
// A malformed hexadecimal text gives ValidationError with InvalidHex instead of a trap. A local network refuses other chains than the development
// ones. The services that are taken where a call names none are always the same. What a canister would be installed with are Options.
package canister
