package cdk

import (
	"encoding/binary"
	"hash/fnv"

	"fusion/ic/candid"
)

// Description is what the linker and tests need to know about a canister: its entries and its Candid service.
type Description struct {
	Methods []MethodInfo `json:"methods"` // sorted by name; EntryMethod's number is the index here
	// Hooks that are registered; init and post_upgrade always exist in the wasm module because they start the Go runtime.
	PreUpgrade bool `json:"pre_upgrade"`
	Heartbeat  bool `json:"heartbeat"`
	Inspect    bool `json:"inspect"`
	LowMemory  bool `json:"low_memory"`
	// Checksum binds a module to its description: a module refuses to start with exports made for another list.
	Checksum uint32 `json:"checksum"`
	// Candid is the .did text of the service with its init arguments.
	Candid string `json:"candid"`
	// InitArgs are the types of the init arguments as Candid text, after the definitions of what they name.
	InitArgs string `json:"init_args"`
	// Build says, as JSON, what the module was built from and with. The builder fills it in.
	Build string `json:"build,omitempty"`
}

// MethodInfo is one exported method.
type MethodInfo struct {
	Name      string `json:"name"`
	Query     bool   `json:"query,omitempty"`
	Composite bool   `json:"composite,omitempty"` // a composite query
}

// Describe describes the canister that setup builds, without running it.
func Describe(setup func(*Canister)) Description {
	c := New(nil, setup)
	d := c.Entries()
	service, init := c.ServiceType()
	d.Candid = candid.RenderService(service, init)
	d.InitArgs = candid.RenderArgs(init)
	return d
}

// Entries lists the entries without the Candid text; it works on a running canister too.
func (c *Canister) Entries() Description {
	d := Description{PreUpgrade: c.preUpgrade != nil, Heartbeat: c.heartbeat != nil, Inspect: c.inspect != nil, LowMemory: c.lowMemory != nil}
	for _, m := range c.methods {
		d.Methods = append(d.Methods, MethodInfo{m.name, m.kind == candid.Query, m.kind == candid.CompositeQuery})
	}
	d.Checksum = checksum(d)
	return d
}

func checksum(d Description) uint32 {
	h := fnv.New32a()
	for _, m := range d.Methods {
		var n [5]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(m.Name)))
		switch {
		case m.Query:
			n[4] = 1
		case m.Composite:
			n[4] = 2
		}
		h.Write(n[:])
		h.Write([]byte(m.Name))
	}
	for _, b := range []bool{d.PreUpgrade, d.Heartbeat, d.Inspect, d.LowMemory} {
		if b {
			h.Write([]byte{1})
		} else {
			h.Write([]byte{0})
		}
	}
	return h.Sum32()
}

// ServiceType is the Candid type of the service that setup builds, and the types of its init arguments (nil without Init). Raw methods have no
// type and are left out.
func ServiceType(setup func(*Canister)) (service *candid.Type, initArgs []candid.Arg) {
	return New(nil, setup).ServiceType()
}

// ServiceType is available on canisters made with a nil system.
func (c *Canister) ServiceType() (service *candid.Type, initArgs []candid.Arg) {
	service = &candid.Type{Kind: candid.KindService}
	for _, m := range c.methods {
		if !m.typed {
			continue
		}
		f := &candid.FuncType{Args: arguments(m.args), Results: arguments(m.res), Mode: m.kind}
		service.Methods = append(service.Methods, candid.Method{Name: m.name, Type: &candid.Type{Kind: candid.KindFunc, Func: f}})
	}
	return service, c.initArgs
}

func arguments(ts []*candid.Type) []candid.Arg {
	args := make([]candid.Arg, len(ts))
	for i, t := range ts {
		args[i].Type = t
	}
	return args
}
