// Package misdeed names what a byzantine replica does wrong. The usual program does none of it: On is false there, whatever the environment says,
// and what would do wrong is not compiled in. A program that is built with the tag byzantine is for experiments (testnets/faults), and does what
// the environment lists:
//
//	go build -tags byzantine -o bin/fusion-byzantine ./cmd/fusion
//	FUSION_MISDEEDS=equivocate,flood bin/fusion-byzantine replica --config node3
//
// The code that misbehaves stands in files named byzantine.go beside what it perverts, in packages replica and replica/consensus.
package misdeed

// Kind is a way to misbehave.
type Kind string

// The misdeeds. After each stands how the other replicas see it in their metrics.
const (
	Equivocate   Kind = "equivocate"    // votes for two things at once: member_misconduct_total, double-vote
	FalseBlocks  Kind = "false-blocks"  // proposes blocks with an item that does not hold: member_misconduct_total, bad-proposal
	FalseShares  Kind = "false-shares"  // alters each share and message of ceremonies: member_misconduct_total, bad-share, and ceremony_messages_refused_total
	Withhold     Kind = "withhold"      // sends no share and no message of ceremonies: member_silent_blocks
	FalseChain   Kind = "false-chain"   // proposes blocks with what Bitcoin does not say: member_misconduct_total, bad-proposal
	FalseAnswers Kind = "false-answers" // gives other answers to outcalls, and of Ethereum, than the world did: member_answers_differed_total
	Flood        Kind = "flood"         // sends as much rubbish as it can: member_misconduct_total, bad-message
)

// Kinds are all of them.
var Kinds = []Kind{Equivocate, FalseBlocks, FalseShares, Withhold, Flood, FalseChain, FalseAnswers}

// Env is the variable of the environment with a list of kinds, divided by commas.
const Env = "FUSION_MISDEEDS"
