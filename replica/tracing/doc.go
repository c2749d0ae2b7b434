// Package tracing follows calls of users through one replica and sends what it saw to an OpenTelemetry collector, over OTLP/HTTP.
//
// A trace is one call that was given to this replica's public interface: the span "call" from its arrival to its answer, and below it
//
//	accept    authentication and inspect_message, until the call is in the pool
//	pool      until a block with it was proposed
//	propose   until that block was decided
//	execute   the execution of the block
//	certify   until the state with the outcome was certified
//	answer    until the answer was written
//
// A call that is not answered in time ends with what is known of it. Spans carry the network, the node, the canister, the method's name and the
// block's height: no argument, no reply, no sender and no key.
//
// # What it costs
//
// The replica's goroutines only note times, in a table of bounded size; spans are made when a call is answered, in the goroutine that answers it, and
// sent by another one. What does not fit into the table or the queue is dropped. Nothing waits for the collector, and nothing replicated depends on
// this package: it is told of blocks after they were decided or executed. A nil *Tracer does nothing.
package tracing
