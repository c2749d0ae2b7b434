package root

import (
	_ "embed"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/members"
)

// DID is the canister's interface.
//
//go:embed root.did
var DID string

// Action is what a proposal does.
type Action struct {
	candid.Variant
	Upgrade    *Upgrade    `candid:"Upgrade"`
	Call       *MethodCall `candid:"Call"`
	Membership *Membership `candid:"Membership"`
	Operators  *Operators  `candid:"Operators"`
}

// Upgrade installs a module in a custodial canister.
type Upgrade struct {
	Canister    principal.Principal `candid:"canister"`
	ModuleHash  []byte              `candid:"module_hash"`  // SHA-256 of the module as it is installed, gzipped or not
	ChunkHashes [][]byte            `candid:"chunk_hashes"` // SHA-256 of its parts, in order
	Arg         []byte              `candid:"arg"`          // Candid, for init or post_upgrade
	// StoredChunks go into the canister's own chunk store before: of the module that a ledger makes archives of.
	StoredChunks [][]byte `candid:"stored_chunks"`
}

// MethodCall is a call of an update method.
type MethodCall struct {
	Canister principal.Principal `candid:"canister"`
	Method   string              `candid:"method"`
	Arg      []byte              `candid:"arg"`
	// ArgHash, with an empty Arg, is the SHA-256 of an argument that is staged and that nobody is shown, such as keys of providers. Only canisters
	// that are part of the replica take one.
	ArgHash *[]byte `candid:"arg_hash"`
}

// Membership is a members.Change; with neither a node that comes nor one that goes the keys are reshared.
type Membership struct {
	Add    *Candidate `candid:"add"`
	Remove *uint32    `candid:"remove"`
}

// Candidate is a members.Candidate.
type Candidate struct {
	NodeKey        []byte `candid:"node_key"`
	ValidatorKey   []byte `candid:"validator_key"`
	Consensus      string `candid:"consensus"`
	Gossip         string `candid:"gossip"`
	NodeProof      []byte `candid:"node_proof"`
	ValidatorProof []byte `candid:"validator_proof"`
}

// MembershipOf is the action that makes a change.
func MembershipOf(c members.Change) Action {
	m := &Membership{}
	for _, a := range c.Add {
		m.Add = &Candidate{a.NodeKey, a.ValidatorKey, a.Consensus, a.Gossip, a.NodeProof, a.ValidatorProof}
	}
	for _, i := range c.Remove {
		m.Remove = &i
	}
	return Action{Membership: m}
}

// change is the inverse of MembershipOf.
func (m *Membership) change() (c members.Change) {
	if a := m.Add; a != nil {
		c.Add = []members.Candidate{{NodeKey: a.NodeKey, ValidatorKey: a.ValidatorKey, Consensus: a.Consensus, Gossip: a.Gossip, NodeProof: a.NodeProof,
			ValidatorProof: a.ValidatorProof}}
	}
	if m.Remove != nil {
		c.Remove = []uint32{*m.Remove}
	}
	return c
}

// Operators is the list of operators from then on.
type Operators struct {
	Operators []principal.Principal `candid:"operators"`
}

// SubmitArg is the argument of submit.
type SubmitArg struct {
	Action  Action `candid:"action"`
	Summary string `candid:"summary"` // why, for people
}

// StageArg is the argument of stage_chunk.
type StageArg struct {
	Number uint64 `candid:"number"`
	Chunk  []byte `candid:"chunk"`
}

// SayArg is the argument of approve, reject, withdraw and execute. The digest is that of the action which the operator means.
type SayArg struct {
	Number uint64 `candid:"number"`
	Digest []byte `candid:"digest"`
}

// ListArg is the argument of list_proposals: at most Length of them, 20 unless it says so, with numbers below Before, the newest first.
type ListArg struct {
	Before *uint64 `candid:"before"`
	Length *uint64 `candid:"length"`
}

// Info is the answer of get_info.
type Info struct {
	Operators  []principal.Principal `candid:"operators"`
	Needed     uint32                `candid:"needed"` // approvals
	TimeLockNs uint64                `candid:"time_lock_ns"`
	LifetimeNs uint64                `candid:"lifetime_ns"` // from submission to the deadline
	Next       uint64                `candid:"next_number"`
}

// State is where a proposal stands.
type State struct {
	candid.Variant
	Open      *candid.Null `candid:"Open"`      // it lacks approvals
	Locked    *candid.Null `candid:"Locked"`    // approved, the time lock runs
	Ready     *candid.Null `candid:"Ready"`     // it may be executed
	Executing *candid.Null `candid:"Executing"` // it is being executed
	Executed  *candid.Null `candid:"Executed"`
	Failed    *candid.Null `candid:"Failed"` // its execution came to nothing; it is not tried again
	Rejected  *candid.Null `candid:"Rejected"`
	Withdrawn *candid.Null `candid:"Withdrawn"`
	Expired   *candid.Null `candid:"Expired"`
}

// String is the state's name in lower case.
func (s State) String() string {
	for name, v := range map[string]*candid.Null{"open": s.Open, "locked": s.Locked, "ready": s.Ready, "executing": s.Executing, "executed": s.Executed, "failed": s.Failed,
		"rejected": s.Rejected, "withdrawn": s.Withdrawn, "expired": s.Expired} {
		if v != nil {
			return name
		}
	}
	return "unknown"
}

// Proposal is one as it is shown.
type Proposal struct {
	Number     uint64                `candid:"number"`
	Proposer   principal.Principal   `candid:"proposer"`
	Summary    string                `candid:"summary"`
	Action     *Action               `candid:"action"` // absent of one that ended, if it was long
	Digest     []byte                `candid:"digest"`
	Approved   []principal.Principal `candid:"approved"`
	Rejected   []principal.Principal `candid:"rejected"`
	Needed     uint32                `candid:"needed"`
	Submitted  uint64                `candid:"submitted_ns"`
	Executable *uint64               `candid:"executable_ns"` // end of the time lock
	Expires    uint64                `candid:"expires_ns"`
	Ended      *uint64               `candid:"ended_ns"`
	State      State                 `candid:"state"`
	Missing    uint32                `candid:"missing_chunks"`
	Reply      *[]byte               `candid:"reply"` // of a Call
	Sentence   string                `candid:"sentence"`
}
