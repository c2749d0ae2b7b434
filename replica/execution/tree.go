package execution

import (
	"bytes"
	"encoding/binary"
	"sort"

	"fusion/ic/cbor"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
	"fusion/replica/execution/wasm"
)

var (
	labelCanister = []byte("canister")
	labelRequest  = []byte("request_status")
)

// Tree returns base with /canister, /request_status and the metrics of the subnet as the executor has them. Only what changed since the
// last call is touched; the first call after New inserts everything, into a base that has none of it yet.
func (x *Executor) Tree(base *hashtree.Map) *hashtree.Map {
	ids := make([]principal.Principal, 0, len(x.treeDirty))
	for id := range x.treeDirty {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i].Compare(ids[j]) < 0 })
	for _, id := range ids {
		base = base.InsertMap([][]byte{labelCanister, id.Bytes()}, x.canisterTree(x.canisters[id]))
	}
	clear(x.treeDirty)
	requests := make([][32]byte, 0, len(x.history.tree))
	for id := range x.history.tree {
		requests = append(requests, id)
	}
	sort.Slice(requests, func(i, j int) bool { return bytes.Compare(requests[i][:], requests[j][:]) < 0 })
	for _, id := range requests {
		base = base.InsertMap([][]byte{labelRequest, id[:]}, requestTree(x.history.entries[id]))
	}
	clear(x.history.tree)
	return base.Insert([][]byte{[]byte("subnet"), x.subnet, []byte("metrics")}, x.subnetMetrics())
}

// executed counts messages: those of the round, and those of all rounds, which are state. The entry points that run within a message, as
// in an installation, are not messages of their own there; where a long one begins anew after a restart, they run again.
func (x *Executor) executed(messages int) {
	x.result.Messages += messages
	x.global.Executed += uint64(messages)
}

// subnetMetrics is what stands at /subnet/<id>/metrics. The specification gives the fields names; the Internet Computer, and so every
// client, numbers them in the order of the names: canisters, bytes of their state, cycles consumed (low and high half), messages.
func (x *Executor) subnetMetrics() []byte {
	var canisters, bytes uint64
	var consumed Cycles
	for _, c := range x.order {
		if c.kind != managementCanister { // which keeps what deleted canisters consumed
			canisters++
			bytes += c.memory()
		}
		for _, n := range c.Consumed {
			consumed = consumed.Add(n)
		}
	}
	out := cbor.AppendMap(nil, 4)
	out = cbor.AppendUint(cbor.AppendUint(out, 0), canisters)
	out = cbor.AppendUint(cbor.AppendUint(out, 1), bytes)
	out = cbor.AppendMap(cbor.AppendUint(out, 2), 2)
	out = cbor.AppendUint(cbor.AppendUint(out, 0), consumed.Lo)
	out = cbor.AppendUint(cbor.AppendUint(out, 1), consumed.Hi)
	return cbor.AppendUint(cbor.AppendUint(out, 3), x.global.Executed)
}

// canisterTree is what stands below /canister/<id>; nil removes it.
func (x *Executor) canisterTree(c *canister) *hashtree.Map {
	if c == nil || c.kind == managementCanister {
		return nil
	}
	var m *hashtree.Map
	put := func(value []byte, path ...string) {
		labels := make([][]byte, len(path))
		for i := range path {
			labels[i] = []byte(path[i])
		}
		m = m.Insert(labels, value)
	}
	put(encodePrincipals(c.Settings.Controllers), "controllers")
	if c.CreatedNs != 0 { // not so for canisters that are there from the start
		put(binary.AppendUvarint(nil, c.CreatedNs), "canister_creation_timestamp")
	}
	if !c.hasCode() {
		return m
	}
	put(binary.AppendUvarint(nil, c.InstalledNs), "last_install_timestamp")
	put(c.ModuleHash, "module_hash")
	put(c.Certified, "certified_data")
	for _, s := range c.metadata {
		put(s.Content, "metadata", s.Name)
	}
	return m
}

// encodePrincipals is the CBOR of /canister/<id>/controllers: tag 55799, then an array of byte strings.
func encodePrincipals(list []principalBytes) []byte {
	out := append([]byte{0xd9, 0xd9, 0xf7}, cborHead(4, len(list))...)
	for _, p := range list {
		out = append(append(out, cborHead(2, len(p))...), p...)
	}
	return out
}

// cborHead is the head of a CBOR item of a major type with a small count.
func cborHead(major byte, n int) []byte {
	if n < 24 {
		return []byte{major<<5 | byte(n)}
	}
	return []byte{major<<5 | 24, byte(n)} // the counts here are below 256
}

func requestTree(e *ingressRecord) *hashtree.Map {
	if e == nil {
		return nil
	}
	var m *hashtree.Map
	put := func(label string, value []byte) { m = m.Insert([][]byte{[]byte(label)}, value) }
	put("status", []byte(e.State.String()))
	switch e.State {
	case Replied:
		put("reply", e.Reply)
	case Rejected:
		put("reject_code", []byte{byte(e.Reject.Code)}) // LEB128
		put("reject_message", []byte(e.Reject.Message))
		if e.Reject.Error != "" {
			put("error_code", []byte(e.Reject.Error))
		}
	}
	return m
}

// section is an "icp:" custom section of the installed module.
type section struct {
	_       struct{} `cbor:",toarray"`
	Name    string
	Public  bool
	Content []byte
}

// metadataOf lists a module's metadata by name.
func metadataOf(customs []wasm.CustomSection) []section {
	out := make([]section, 0, len(customs))
	for _, c := range customs {
		out = append(out, section{Name: c.Name, Public: c.Public, Content: append([]byte{}, c.Data...)})
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
