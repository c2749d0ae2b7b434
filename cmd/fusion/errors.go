package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"fusion/adapters/ethereum/anvil"
	"fusion/ic/agent"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica/genesis"
	"fusion/replica/state"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

// hinted is an error with the next step.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// hint adds the next step to an error.
func hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// hints are the next steps after errors that many commands meet.
var hints = []struct {
	is   error
	hint string
}{
	{testnets.ErrNotRunning, "start it with: fusion up"},
	{testnets.ErrNoNetwork, "make and start one with: fusion up, or name its directory with --data-dir"},
	{testnets.ErrRunning, "fusion status shows it, fusion down stops it"},
	{testnets.ErrVersion, "nothing was changed in the directory"},
	{testnets.ErrSettings, "leave the flag out to start it as it is, or make another network with --data-dir"},
	{testnets.ErrNoIdentity, "fusion identity list shows the ones that exist, fusion identity new NAME makes one"},
	{testnets.ErrNoEthereum, "make another network that does: fusion up --data-dir DIR --ethereum geth"},
	{testnets.ErrEthereumURL, "start the node first and check its URL; --ethereum geth needs none"},
	{anvil.ErrNotFound, "or leave --ethereum out: geth runs inside fusion"},
	{canisters.ErrNotBuilt, "compile with: make build"},
	{state.ErrNetwork, "the directory holds replicas of two networks; restore it from a backup, or make a new network with --data-dir"},
	{state.ErrFormat, "run the version of fusion that made it, or make a new network with --data-dir"},
	{identity.ErrKey, "fusion reads PKCS #8 (Ed25519) and SEC 1 (secp256k1) keys in PEM files"},
	{agent.ErrStale, "check this machine's clock, and that the network makes blocks: fusion status"},
	{agent.ErrVerification, "check --root-key: the answer is not signed by that network"},
	{agent.ErrUnknownOutcome, "the call may still be executed: look at the balance or status before you repeat it"},
	{syscall.EADDRINUSE, "stop the other process, or choose another address"},
	{syscall.ENOSPC, "free some space and start again; what was committed is safe"},
	{syscall.EDQUOT, "free some space and start again; what was committed is safe"},
	{syscall.EROFS, "choose a writable directory with --data-dir"},
	{syscall.EACCES, "check the owner and mode of the file, or choose another directory with --data-dir"},
	{syscall.ECONNREFUSED, "nothing listens there: check the address, or start the network with: fusion up"},
}

// explain returns an error as a lower-case sentence, and the next step if there is a known one.
func explain(err error) (text, next string) {
	text = err.Error()
	var reject *agent.RejectError
	if errors.As(err, &reject) {
		text, next = explainReject(reject)
	}
	var refused *agent.HTTPError
	if errors.As(err, &refused) {
		if what, ok := strings.CutPrefix(refused.Body, "canister_not_found: "); ok {
			text, next = what, "check the canister id, and that --network and --data-dir name its network"
		}
	}
	if first, rest, ok := strings.Cut(text, "\n\nDid you mean this?\n"); ok { // cobra's suggestions
		text, next = first, "did you mean "+strings.Join(strings.Fields(rest), " or ")+"?"
	}
	for _, h := range hints {
		if errors.Is(err, h.is) {
			next = h.hint
			break
		}
	}
	var h *hinted
	if errors.As(err, &h) {
		next = h.hint
	}
	return text, next
}

// explainReject words what a canister or the subnet answered. Codes are those of the Internet Computer's public list.
func explainReject(r *agent.RejectError) (text, next string) {
	msg := strings.TrimSuffix(r.Message, ".")
	if r.Canister == principal.Management && r.ErrorCode != "IC0512" {
		return fmt.Sprintf("%s: %s", r.Method, msg), managementHint(r)
	}
	switch r.ErrorCode {
	case "IC0301":
		return fmt.Sprintf("there is no canister %s", r.Canister), "fusion status lists the canisters of a local network"
	case "IC0536":
		return fmt.Sprintf("canister %s has no such method: %s", r.Canister, r.Method), "call is for update methods, query for query methods; both are in the canister's .did file"
	case "IC0537":
		return fmt.Sprintf("canister %s has no code", r.Canister), "install some with: fusion canister install FILE.wasm --id " + r.Canister.String()
	case "IC0512":
		if strings.Contains(msg, genesis.RootCanister.String()) {
			return fmt.Sprintf("%s is for the root canister: %s", r.Method, msg), "operators decide: fusion proposal submit --help"
		}
		return fmt.Sprintf("%s is for controllers: %s", r.Method, msg), "choose the controller with --identity"
	case "IC0207":
		return fmt.Sprintf("canister %s is out of cycles", r.Canister), ""
	case "IC0406":
		return fmt.Sprintf("canister %s refused %s: %s", r.Canister, r.Method, msg), ""
	case "IC0502", "IC0503", "IC0504", "IC0522", "IC0524":
		return fmt.Sprintf("%s of canister %s trapped and changed nothing: %s", r.Method, r.Canister, msg), ""
	}
	text = fmt.Sprintf("%s of canister %s: %s", r.Method, r.Canister, msg)
	if r.ErrorCode != "" {
		text += " (" + r.ErrorCode + ")"
	}
	return text, ""
}

// managementHint is the next step after a call that the management canister refused.
func managementHint(r *agent.RejectError) string {
	switch {
	case r.ErrorCode == "IC0301":
		return "check the canister id, and that --network and --data-dir name its network"
	case r.ErrorCode == "IC0305":
		return "the canister's snapshots are listed by: fusion canister snapshot list CANISTER"
	case r.ErrorCode == "IC0510":
		return "stop it first: fusion canister stop CANISTER"
	case r.Method == "fetch_canister_logs":
		return "its controllers say who may see it: fusion canister settings update CANISTER --log-visibility"
	}
	return ""
}

// failure is an error on its way from a detached process to the one that started it.
type failure struct {
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

func (f *failure) Error() string { return f.Text }

// toFailure and asError carry an error over a pipe.
func toFailure(err error) *failure {
	text, next := explain(err)
	return &failure{text, next}
}

func (f *failure) asError() error {
	if f.Hint == "" {
		return f
	}
	return hint(f, "%s", f.Hint)
}

// toJSON is the --json form of a result.
func toJSON(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // our own plain structs
	}
	return string(b) + "\n"
}
