package native

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"fusion/cdk"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Management stands for the management canister, as far as canisters make and keep other canisters: create_canister, install_code (install
// and upgrade), install_chunked_code (install), upload_chunk, canister_status, start_canister, stop_canister and deposit_cycles. Modules are any
// bytes that Code knows. Canisters that the test installed have a chunk store, too, but no other place here.
//
//	m := native.NewManagement(w, 100, code)
//	w.Handle(principal.Management, m.Serve)
//
// A stopped canister refuses calls and its timers rest. Unlike on a subnet, stopping does not wait for open calls.
type Management struct {
	w    *World
	next uint64
	code func(module []byte) func(*cdk.Canister)
	// Canisters are those that were created, in order.
	Canisters []*Managed
	chunks    map[principal.Principal]map[[32]byte][]byte
}

// Managed is a canister that a canister made.
type Managed struct {
	ID          principal.Principal
	Controllers []principal.Principal
	Creator     principal.Principal
	Module      []byte // nil while it is empty
	Installs    int    // into the empty canister
	Upgrades    int
	Stopped     bool
	Cycles      cdk.Cycles
}

// NewManagement makes canisters from id number first on. code knows what a module does; nil is no module.
func NewManagement(w *World, first uint64, code func(module []byte) func(*cdk.Canister)) *Management {
	return &Management{w: w, next: first, code: code, chunks: map[principal.Principal]map[[32]byte][]byte{}}
}

// Upload puts a chunk into the chunk store of a canister and returns its hash.
func (m *Management) Upload(id principal.Principal, chunk []byte) [32]byte {
	if m.chunks[id] == nil {
		m.chunks[id] = map[[32]byte][]byte{}
	}
	h := sha256.Sum256(chunk)
	m.chunks[id][h] = chunk
	return h
}

// Find is the canister with an id, or nil.
func (m *Management) Find(id principal.Principal) *Managed {
	for _, c := range m.Canisters {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// Serve answers a call.
func (m *Management) Serve(in *Incoming) {
	data, rej := m.Do(in)
	if rej != nil {
		in.Reject(rej.Code, rej.Message)
		return
	}
	in.ReplyRaw(data)
}

// Do carries out a call without answering it, so that tests can lose the answer.
func (m *Management) Do(in *Incoming) ([]byte, *cdk.RejectError) {
	type settings struct {
		Controllers *[]principal.Principal `candid:"controllers"`
	}
	type upgrade struct {
		Skip *bool `candid:"skip_pre_upgrade"`
	}
	var create struct {
		Settings *settings `candid:"settings"`
	}
	var install struct {
		Mode struct {
			candid.Variant
			Install *candid.Null `candid:"install"`
			Upgrade **upgrade    `candid:"upgrade"`
		} `candid:"mode"`
		ID     principal.Principal `candid:"canister_id"`
		Module []byte              `candid:"wasm_module"`
		Arg    []byte              `candid:"arg"`
	}
	type canister struct {
		ID principal.Principal `candid:"canister_id"`
	}
	type hash struct {
		Hash []byte `candid:"hash"`
	}
	var chunked struct {
		Mode struct {
			candid.Variant
			Install *candid.Null `candid:"install"`
		} `candid:"mode"`
		Target principal.Principal  `candid:"target_canister"`
		Store  *principal.Principal `candid:"store_canister"`
		Chunks []hash               `candid:"chunk_hashes_list"`
		Hash   []byte               `candid:"wasm_module_hash"`
		Arg    []byte               `candid:"arg"`
	}
	var chunk struct {
		ID    principal.Principal `candid:"canister_id"`
		Chunk []byte              `candid:"chunk"`
	}
	refuse := func(format string, args ...any) ([]byte, *cdk.RejectError) {
		return nil, &cdk.RejectError{Code: cdk.CanisterReject, Message: fmt.Sprintf(format, args...)}
	}
	none := candid.MustMarshal()
	if in.Method == "create_canister" {
		if err := candid.Unmarshal(in.Arg, &create); err != nil {
			return refuse("%v", err)
		}
		c := &Managed{ID: principal.FromUint64(m.next), Creator: in.Caller, Controllers: []principal.Principal{in.Caller}, Cycles: in.Accept(in.Cycles)}
		m.next++
		if s := create.Settings; s != nil && s.Controllers != nil {
			c.Controllers = *s.Controllers
		}
		m.Canisters = append(m.Canisters, c)
		return candid.MustMarshal(canister{c.ID}), nil
	}
	var of canister
	err := candid.Unmarshal(in.Arg, &of)
	switch in.Method {
	case "install_code":
		err = candid.Unmarshal(in.Arg, &install)
		of.ID = install.ID
	case "install_chunked_code":
		if err = candid.Unmarshal(in.Arg, &chunked); err != nil {
			break
		}
		of.ID, install.Mode.Install, install.Arg = chunked.Target, chunked.Mode.Install, chunked.Arg
		store := chunked.Target
		if chunked.Store != nil {
			store = *chunked.Store
		}
		if x := m.Find(store); store != in.Caller && (x == nil || !slices.Contains(x.Controllers, in.Caller)) {
			return refuse("the chunk store of %s is not for %s", store, in.Caller)
		}
		for _, c := range chunked.Chunks {
			b, ok := m.chunks[store][[32]byte(c.Hash)]
			if !ok {
				return refuse("chunk %x is not in the chunk store of %s", c.Hash, store)
			}
			install.Module = append(install.Module, b...)
		}
		if h := sha256.Sum256(install.Module); string(h[:]) != string(chunked.Hash) {
			return refuse("the chunks have the hash %x together, not %x", h, chunked.Hash)
		}
	case "upload_chunk":
		err = candid.Unmarshal(in.Arg, &chunk)
		of.ID = chunk.ID
	}
	if err != nil {
		return refuse("%v", err)
	}
	c := m.Find(of.ID)
	if c == nil {
		return refuse("canister %s not found", of.ID)
	}
	if in.Method == "deposit_cycles" {
		c.Cycles = c.Cycles.Add(in.Accept(in.Cycles))
		return none, nil
	}
	if !slices.Contains(c.Controllers, in.Caller) {
		return refuse("only controllers of %s may call %s", c.ID, in.Method)
	}
	switch in.Method {
	case "upload_chunk":
		h := m.Upload(c.ID, chunk.Chunk)
		return candid.MustMarshal(hash{h[:]}), nil
	case "install_code", "install_chunked_code":
		setup := m.code(install.Module)
		switch {
		case setup == nil:
			return refuse("not a module")
		case install.Mode.Install != nil && c.Module != nil:
			return refuse("canister %s is not empty", c.ID)
		case install.Mode.Upgrade != nil && c.Module == nil:
			return refuse("canister %s has no code to upgrade", c.ID)
		case install.Mode.Install != nil:
			err = m.w.Install(c.ID, setup, install.Arg, Controllers(c.Controllers...))
		default:
			err = m.w.Upgrade(c.ID, setup, install.Arg)
		}
		if err != nil {
			return refuse("%v", err)
		}
		if c.Module == nil {
			c.Installs++
		} else {
			c.Upgrades++
		}
		c.Module = install.Module
		m.w.canisters[c.ID].stopped = c.Stopped
		return none, nil
	case "start_canister", "stop_canister":
		c.Stopped = in.Method == "stop_canister"
		if x := m.w.canisters[c.ID]; x != nil {
			x.stopped = c.Stopped
		}
		return none, nil
	case "canister_status":
		hi, lo := c.Cycles.Hi, c.Cycles.Lo
		s := cdk.CanisterStatus{Cycles: candid.NatFromUint128(hi, lo), Settings: cdk.CanisterSettings{Controllers: c.Controllers,
			LogVisibility: cdk.LogVisibility{Controllers: candid.Unit}, EnvironmentVariables: []cdk.EnvironmentVariable{}}}
		s.Status.Running = candid.Unit
		if c.Stopped {
			s.Status = cdk.CanisterStatusType{Stopped: candid.Unit}
		}
		if c.Module != nil {
			h := sha256.Sum256(c.Module)
			sum := h[:]
			s.ModuleHash = &sum
		}
		return candid.MustMarshal(s), nil
	}
	return refuse("no method %q", in.Method)
}
