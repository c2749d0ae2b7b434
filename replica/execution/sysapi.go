package execution

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"fusion/chainkey"
	"fusion/ic/principal"
	"fusion/replica/execution/wasm"
)

// mode is the kind of entry point that runs: one bit, named as in the interface specification's overview of imports.
type mode uint16

const (
	modeI   mode = 1 << iota // canister_init, canister_post_upgrade
	modeG                    // canister_pre_upgrade
	modeU                    // canister_update
	modeRQ                   // canister_query, replicated
	modeNRQ                  // canister_query, not replicated
	modeTQ                   // canister_query as transform of an HTTPS outcall
	modeCQ                   // canister_composite_query
	modeRy                   // reply callback
	modeRt                   // reject callback
	modeCRy                  // reply callback of a composite query
	modeCRt                  // reject callback of a composite query
	modeC                    // cleanup callback
	modeCC                   // cleanup callback of a composite query
	modeF                    // canister_inspect_message
	modeT                    // heartbeat, global timer, on_low_wasm_memory
	modeS                    // start function
)

const (
	modeStar       = modeS - 1 // "*": everything but start
	modeAll        = modeStar | modeS
	modeQ          = modeRQ | modeNRQ | modeTQ
	modeReply      = modeU | modeQ | modeCQ | modeRy | modeRt | modeCRy | modeCRt
	modeCall       = modeU | modeCQ | modeRy | modeRt | modeCRy | modeCRt | modeT
	modeReplicated = modeI | modeG | modeU | modeRQ | modeRy | modeRt | modeC | modeT | modeS
)

var modeNames = map[mode]string{modeI: "init", modeG: "pre-upgrade", modeU: "update", modeRQ: "replicated query", modeNRQ: "query", modeTQ: "transform",
	modeCQ: "composite query", modeRy: "reply callback", modeRt: "reject callback", modeCRy: "composite reply callback",
	modeCRt: "composite reject callback", modeC: "cleanup", modeCC: "composite cleanup", modeF: "inspect message", modeT: "system task", modeS: "start"}

func (m mode) String() string { return modeNames[m] }

// sysFunc is one function of the System API. Signature letters: I is a pointer of the module's width, i an i32, l an i64; what
// follows the colon is the result. fn gets its arguments zero-extended.
type sysFunc struct {
	name  string
	sig   string
	modes mode
	fn    func(e *exec, a []uint64) uint64
}

// What a call of the System API costs beside the instructions of the canister, in instructions.
const (
	hostCallCost   = 100 // each call
	hostBytesShift = 2   // one more per four bytes moved
	stablePageCost = 400 // each page of stable memory touched
)

func blobFuncs(name string, modes mode, get func(e *exec) []byte) []sysFunc {
	return []sysFunc{
		{name + "_size", ":I", modes, func(e *exec, _ []uint64) uint64 { return uint64(len(get(e))) }},
		{name + "_copy", "III:", modes, func(e *exec, a []uint64) uint64 { e.copyOut(get(e), a[0], a[1], a[2]); return 0 }},
	}
}

// sysAPI is the whole System API. Names, signatures and modes are those of the interface specification 0.66, checked by a test
// against testdata/ic0.json; subnet_self_node_count is newer, mint_cycles and mint_cycles128 exist on the Internet Computer for
// the cycles minting canister alone.
var sysAPI = buildSysAPI()

func buildSysAPI() []sysFunc {
	api := []sysFunc{
		{"msg_reject_code", ":i", modeRy | modeRt | modeCRy | modeCRt | modeC, func(e *exec, _ []uint64) uint64 { return uint64(e.rejectCode) }},
		{"msg_deadline", ":l", modeU | modeQ | modeCQ | modeRy | modeRt | modeCRy | modeCRt, func(e *exec, _ []uint64) uint64 {
			if e.mode&modeQ != 0 { // queries never have one, in replicated execution neither
				return 0
			}
			return e.deadline
		}},
		{"msg_reply_data_append", "II:", modeReply, func(e *exec, a []uint64) uint64 {
			e.mustReply()
			limit := uint64(maxPayload)
			if !e.replicated() {
				limit = maxQueryReply
			}
			if a[1] > limit || uint64(len(e.replyData))+a[1] > limit {
				e.trap(errContractViolation, "the reply exceeds %d bytes", limit)
			}
			e.replyData = append(e.replyData, e.read(a[0], a[1])...)
			return 0
		}},
		{"msg_reply", ":", modeReply, func(e *exec, _ []uint64) uint64 {
			e.mustReply()
			e.response = &response{data: append([]byte{}, e.replyData...)}
			e.available, e.toRefund = Cycles{}, e.available
			return 0
		}},
		{"msg_reject", "II:", modeReply, func(e *exec, a []uint64) uint64 {
			e.mustReply()
			if a[1] > maxPayload {
				e.trap(errContractViolation, "the reject message exceeds %d bytes", maxPayload)
			}
			text := e.read(a[0], a[1])
			if !utf8.Valid(text) {
				e.trap(errContractViolation, "the reject message is not valid UTF-8")
			}
			e.response = &response{reject: &Reject{Code: CanisterReject, Message: string(text), Error: "IC0406"}}
			e.available, e.toRefund = Cycles{}, e.available
			return 0
		}},
		{"msg_cycles_available128", "I:", modeU | modeRQ | modeRt | modeRy, func(e *exec, a []uint64) uint64 { e.writeCycles(a[0], e.available); return 0 }},
		{"msg_cycles_refunded128", "I:", modeRt | modeRy, func(e *exec, a []uint64) uint64 { e.writeCycles(a[0], e.refunded); return 0 }},
		{"msg_cycles_accept128", "llI:", modeU | modeRQ | modeRt | modeRy, func(e *exec, a []uint64) uint64 {
			e.writeCycles(a[2], e.acceptCycles(Cycles{Hi: a[0], Lo: a[1]}))
			return 0
		}},
		{"cycles_burn128", "llI:", modeI | modeG | modeU | modeRQ | modeRy | modeRt | modeC | modeT, func(e *exec, a []uint64) uint64 {
			n := (Cycles{Hi: a[0], Lo: a[1]}).Min(e.liquid())
			e.balance, e.burned = e.balance.Sub(n), e.burned.Add(n)
			e.writeCycles(a[2], n)
			return 0
		}},
		{"canister_cycle_balance128", "I:", modeStar, func(e *exec, a []uint64) uint64 { e.writeCycles(a[0], e.balance); return 0 }},
		{"canister_liquid_cycle_balance128", "I:", modeStar, func(e *exec, a []uint64) uint64 { e.writeCycles(a[0], e.liquid()); return 0 }},
		{"canister_status", ":i", modeStar, func(e *exec, _ []uint64) uint64 { return uint64(e.status) }},
		{"canister_version", ":l", modeStar, func(e *exec, _ []uint64) uint64 { return e.version }},
		{"subnet_self_node_count", ":i", modeStar, func(e *exec, _ []uint64) uint64 { return e.price.nodes }},
		{"accept_message", ":", modeF, func(e *exec, _ []uint64) uint64 {
			if e.accepted {
				e.trap(errContractViolation, "accept_message was called twice")
			}
			e.accepted = true
			return 0
		}},
		{"call_new", "IIIIIIII:", modeCall, sysCallNew},
		{"call_on_cleanup", "II:", modeCall, func(e *exec, a []uint64) uint64 {
			call := e.underConstruction("call_on_cleanup")
			if call.cleanup != nil {
				e.trap(errContractViolation, "call_on_cleanup was called twice")
			}
			call.cleanup = &closure{Index: e.tableIndex(a[0]), Env: a[1]}
			return 0
		}},
		{"call_data_append", "II:", modeCall, func(e *exec, a []uint64) uint64 {
			call := e.underConstruction("call_data_append")
			if a[1] > maxCallPayload || uint64(len(call.arg))+a[1] > maxCallPayload {
				e.trap(errContractViolation, "the argument of the call exceeds %d bytes", maxCallPayload)
			}
			call.arg = append(call.arg, e.read(a[0], a[1])...)
			return 0
		}},
		{"call_with_best_effort_response", "i:", modeCall, func(e *exec, a []uint64) uint64 {
			call := e.underConstruction("call_with_best_effort_response")
			if call.deadline != 0 {
				e.trap(errContractViolation, "call_with_best_effort_response was called twice")
			}
			call.deadline = e.timeNs + min(a[0], maxCallTimeout)*1e9
			return 0
		}},
		{"call_cycles_add128", "ll:", modeU | modeRy | modeRt | modeT, func(e *exec, a []uint64) uint64 { e.attach(Cycles{Hi: a[0], Lo: a[1]}); return 0 }},
		{"call_perform", ":i", modeCall, sysCallPerform},
		{"stable64_size", ":l", modeAll, func(e *exec, _ []uint64) uint64 { return e.stable.size }},
		{"stable64_grow", "l:l", modeAll, func(e *exec, a []uint64) uint64 { return e.stableGrow(a[0], maxStablePages) }},
		{"stable64_write", "lll:", modeAll, func(e *exec, a []uint64) uint64 { e.stableWrite(a[0], a[1], a[2]); return 0 }},
		{"stable64_read", "lll:", modeAll, func(e *exec, a []uint64) uint64 { e.stableRead(a[0], a[1], a[2]); return 0 }},
		{"certified_data_set", "II:", modeI | modeG | modeU | modeRy | modeRt | modeT, func(e *exec, a []uint64) uint64 {
			if a[1] > 32 {
				e.trap(errContractViolation, "certified data of %d bytes, at most 32 are allowed", a[1])
			}
			e.certified = append([]byte{}, e.read(a[0], a[1])...)
			return 0
		}},
		{"data_certificate_present", ":i", modeStar, func(e *exec, _ []uint64) uint64 { return flag(e.certificate != nil) }},
		{"time", ":l", modeStar, func(e *exec, _ []uint64) uint64 { return e.timeNs }},
		{"global_timer_set", "l:l", modeI | modeG | modeU | modeRy | modeRt | modeC | modeT, func(e *exec, a []uint64) uint64 {
			old := e.timer
			e.timer = a[0]
			return old
		}},
		{"performance_counter", "i:l", modeAll, func(e *exec, a []uint64) uint64 {
			switch a[0] {
			case 0:
				return e.inst.InstructionsUsed()
			case 1:
				return e.contextInstructions + e.inst.InstructionsUsed()
			}
			e.trap(errContractViolation, "performance counter %d does not exist", a[0])
			return 0
		}},
		{"is_controller", "II:i", modeAll, func(e *exec, a []uint64) uint64 {
			if a[1] > principal.MaxLen {
				e.trap(errContractViolation, "a principal of %d bytes", a[1])
			}
			return flag(containsPrincipal(e.settings.Controllers, principal.MustFromBytes(e.read(a[0], a[1]))))
		}},
		{"in_replicated_execution", ":i", modeAll, func(e *exec, _ []uint64) uint64 { return flag(e.replicated()) }},
		{"cost_call", "llI:", modeAll, func(e *exec, a []uint64) uint64 {
			e.writeCycles(a[2], e.price.callCost(e.x.cfg.MessageInstructions, min(a[0], 1<<40)+min(a[1], 1<<40)))
			return 0
		}},
		{"cost_create_canister", "I:", modeAll, func(e *exec, a []uint64) uint64 { e.writeCycles(a[0], e.x.creationCost()); return 0 }},
		{"cost_http_request", "llI:", modeAll, func(e *exec, a []uint64) uint64 { e.writeCycles(a[2], e.price.httpOutcall(a[0], a[1])); return 0 }},
		{"cost_sign_with_ecdsa", "IIiI:i", modeAll, signatureCost(chainkey.EcdsaSecp256k1)},
		{"cost_sign_with_schnorr", "IIiI:i", modeAll, signatureCost(chainkey.Bip340Secp256k1, chainkey.Ed25519)},
		{"cost_vetkd_derive_key", "IIiI:i", modeAll, signatureCost(chainkey.Bls12381G2)},
		{"env_var_count", ":I", modeStar, func(e *exec, _ []uint64) uint64 { return uint64(len(e.variables())) }},
		{"env_var_name_size", "I:I", modeStar, func(e *exec, a []uint64) uint64 { return uint64(len(e.envAt(a[0]).Name)) }},
		{"env_var_name_copy", "IIII:", modeStar, func(e *exec, a []uint64) uint64 {
			e.copyOut([]byte(e.envAt(a[0]).Name), a[1], a[2], a[3])
			return 0
		}},
		{"env_var_name_exists", "II:i", modeStar, func(e *exec, a []uint64) uint64 { return flag(e.envNamed(a[0], a[1]) != nil) }},
		{"env_var_value_size", "II:I", modeStar, func(e *exec, a []uint64) uint64 { return uint64(len(e.mustEnv(a[0], a[1]).Value)) }},
		{"env_var_value_copy", "IIIII:", modeStar, func(e *exec, a []uint64) uint64 {
			e.copyOut([]byte(e.mustEnv(a[0], a[1]).Value), a[2], a[3], a[4])
			return 0
		}},
		{"debug_print", "II:", modeAll, func(e *exec, a []uint64) uint64 {
			text := []byte("(debug_print message out of memory bounds)")
			if b, err := e.inst.Memory(a[0], a[1]); err == nil {
				text = append([]byte{}, b[:min(len(b), maxLogBytes)]...)
			}
			e.print(text)
			return 0
		}},
		{"trap", "II:", modeAll, func(e *exec, a []uint64) uint64 {
			text := "(trap message out of memory bounds)"
			if b, err := e.inst.Memory(a[0], a[1]); err == nil {
				text = strings.ToValidUTF8(string(b[:min(len(b), maxReject)]), "")
			}
			e.trap(errCalledTrap, "canister called `ic0.trap` with message: %s", text)
			return 0
		}},
		{"mint_cycles", "l:l", modeU | modeRy | modeRt | modeT, noMinting},
		{"mint_cycles128", "llI:", modeU | modeRy | modeRt | modeT, noMinting},

		// 32-bit forms.
		{"msg_cycles_available", ":l", modeU | modeRQ | modeRt | modeRy, func(e *exec, _ []uint64) uint64 { return e.cycles64("available", e.available) }},
		{"msg_cycles_refunded", ":l", modeRt | modeRy, func(e *exec, _ []uint64) uint64 { return e.cycles64("refunded", e.refunded) }},
		{"msg_cycles_accept", "l:l", modeU | modeRQ | modeRt | modeRy, func(e *exec, a []uint64) uint64 { return e.acceptCycles(CyclesOf(a[0])).Lo }},
		{"canister_cycle_balance", ":l", modeStar, func(e *exec, _ []uint64) uint64 { return e.cycles64("of the balance", e.balance) }},
		{"call_cycles_add", "l:", modeU | modeRy | modeRt | modeT, func(e *exec, a []uint64) uint64 { e.attach(CyclesOf(a[0])); return 0 }},
		{"stable_size", ":i", modeAll, func(e *exec, _ []uint64) uint64 { e.stableFits32(); return e.stable.size }},
		{"stable_grow", "i:i", modeAll, func(e *exec, a []uint64) uint64 { e.stableFits32(); return uint64(uint32(e.stableGrow(a[0], 1<<16))) }},
		{"stable_write", "iii:", modeAll, func(e *exec, a []uint64) uint64 { e.stableFits32(); e.stableWrite(a[0], a[1], a[2]); return 0 }},
		{"stable_read", "iii:", modeAll, func(e *exec, a []uint64) uint64 { e.stableFits32(); e.stableRead(a[0], a[1], a[2]); return 0 }},
	}
	add := func(name string, modes mode, get func(e *exec) []byte) {
		api = append(api, blobFuncs(name, modes, get)...)
	}
	add("msg_arg_data", modeI|modeU|modeQ|modeCQ|modeRy|modeCRy|modeF, func(e *exec) []byte { return e.arg })
	add("msg_caller", modeStar, func(e *exec) []byte { return e.callerBytes })
	info := modeU | modeRQ | modeNRQ | modeCQ | modeRy | modeRt | modeCRy | modeCRt | modeC | modeCC | modeF
	add("msg_caller_info_data", info, func(e *exec) []byte { return e.info.Data })
	add("msg_caller_info_signer", info, func(e *exec) []byte { return e.info.Signer })
	add("msg_reject_msg", modeRt|modeCRt, func(e *exec) []byte { return e.rejectMessage })
	add("msg_method_name", modeF, func(e *exec) []byte { return []byte(e.method) })
	add("canister_self", modeStar, func(e *exec) []byte { return e.self })
	add("subnet_self", modeStar, func(e *exec) []byte { return e.x.subnet })
	add("root_key", modeI|modeG|modeU|modeRQ|modeRy|modeRt|modeC|modeT, func(e *exec) []byte { return e.x.cfg.RootKey })
	add("data_certificate", modeNRQ|modeCQ, func(e *exec) []byte {
		if e.certificate == nil {
			e.trap(errContractViolation, "no data certificate is present")
		}
		return e.certificate
	})
	return api
}

// HostFunctions is the System API for wasm.NewEngine. It is the same for all executors, which may share an engine.
func HostFunctions() []wasm.HostFunc {
	out := make([]wasm.HostFunc, 0, len(sysAPI))
	for _, f := range sysAPI {
		params, result, _ := strings.Cut(f.sig, ":")
		out = append(out, wasm.HostFunc{Name: f.name, Params: kinds(params), Results: kinds(result), Fn: f.host()})
	}
	return out
}

func kinds(letters string) []wasm.Kind {
	var out []wasm.Kind
	for _, l := range letters {
		switch l {
		case 'I':
			out = append(out, wasm.Ptr)
		case 'i':
			out = append(out, wasm.I32)
		case 'l':
			out = append(out, wasm.I64)
		default:
			panic("execution: signature letter " + string(l))
		}
	}
	return out
}

func (f sysFunc) host() func(inst *wasm.Instance, a []uint64) uint64 {
	return func(inst *wasm.Instance, a []uint64) uint64 {
		e := inst.Ctx.(*exec)
		if e.mode&f.modes == 0 {
			e.trap(errContractViolation, "\"ic0_%s\" cannot be executed in %s mode", f.name, e.mode)
		}
		e.inst.Charge(hostCallCost)
		return f.fn(e, a)
	}
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func noMinting(e *exec, _ []uint64) uint64 {
	e.trap(errContractViolation, "only the cycles minting canister can mint cycles")
	return 0
}

// trap ends the execution. code is what the reject that follows from it says.
func (e *exec) trap(code errorCode, format string, args ...any) {
	e.fault = code
	panic(&wasm.Trap{Kind: wasm.HostTrap, Message: fmt.Sprintf(format, args...)})
}

// read returns the canister's memory at ptr, valid until the canister runs again.
func (e *exec) read(ptr, size uint64) []byte {
	e.inst.Charge(size >> hostBytesShift)
	return e.inst.MustMemory(ptr, size)
}

func (e *exec) write(ptr uint64, b []byte) {
	e.inst.Charge(uint64(len(b)) >> hostBytesShift)
	copy(e.inst.MustMemory(ptr, uint64(len(b))), b)
}

func (e *exec) copyOut(blob []byte, dst, offset, size uint64) {
	if offset > uint64(len(blob)) || size > uint64(len(blob))-offset {
		e.trap(errContractViolation, "copy of %d bytes at %d out of a blob of %d bytes", size, offset, len(blob))
	}
	e.write(dst, blob[offset:offset+size])
}

func (e *exec) writeCycles(dst uint64, c Cycles) {
	var b [16]byte
	c.putLittleEndian(b[:])
	e.write(dst, b[:])
}

func (e *exec) cycles64(what string, c Cycles) uint64 {
	n, ok := c.Uint64()
	if !ok {
		e.trap(errContractViolation, "the cycles %s do not fit into 64 bits: %s", what, c)
	}
	return n
}

func (e *exec) mustReply() {
	if !e.canReply || e.response != nil {
		e.trap(errContractViolation, "the call has already been answered")
	}
}

func (e *exec) acceptCycles(limit Cycles) Cycles {
	n := limit.Min(e.available)
	e.available = e.available.Sub(n)
	e.balance = e.balance.Add(n)
	return n
}

// liquid is what can be spent without freezing the canister.
func (e *exec) liquid() Cycles { return e.balance.Sub(e.freezing()) }

func (e *exec) tableIndex(i uint64) uint32 {
	if i > 1<<32-1 {
		e.trap(errContractViolation, "table index %d", i)
	}
	return uint32(i)
}

func (e *exec) underConstruction(name string) *outCall {
	if e.under == nil {
		e.trap(errContractViolation, "%s was called without a call under construction", name)
	}
	return e.under
}

// drop gives up the call under construction.
func (e *exec) drop() {
	if e.under != nil {
		e.balance = e.balance.Add(e.under.cycles)
		e.under = nil
	}
}

func (e *exec) attach(n Cycles) {
	call := e.underConstruction("call_cycles_add")
	if e.liquid().Cmp(n) < 0 {
		e.trap(errInsufficientCycles, "the canister has %s cycles to spend and tried to attach %s to a call", e.liquid(), n)
	}
	e.balance = e.balance.Sub(n)
	call.cycles = call.cycles.Add(n)
}

func sysCallNew(e *exec, a []uint64) uint64 {
	e.drop()
	if a[1] > principal.MaxLen {
		e.trap(errContractViolation, "a callee principal of %d bytes", a[1])
	}
	if a[3] > maxMethodName {
		e.trap(errContractViolation, "a method name of %d bytes, at most %d are allowed", a[3], maxMethodName)
	}
	callee := principal.MustFromBytes(e.read(a[0], a[1]))
	name := e.read(a[2], a[3])
	if !utf8.Valid(name) {
		e.trap(errContractViolation, "the method name is not valid UTF-8")
	}
	e.under = &outCall{callee: callee, method: string(name), reply: closure{Index: e.tableIndex(a[4]), Env: a[5]},
		reject: closure{Index: e.tableIndex(a[6]), Env: a[7]}}
	return 0
}

func sysCallPerform(e *exec, _ []uint64) uint64 {
	call := e.underConstruction("call_perform")
	if !e.replicated() {
		e.calls = append(e.calls, *call)
		e.under = nil
		return 0
	}
	sending := e.price.call(uint64(len(call.method) + len(call.arg)))
	call.prepaid = e.price.callback(e.x.cfg.MessageInstructions)
	cost := sending.Add(call.prepaid)
	size := uint64(len(call.method) + len(call.arg))
	if call.deadline == 0 {
		size += maxPayload
	}
	fits := e.liquid().Cmp(cost) >= 0 && e.sent+size <= e.head.Messages && e.c.inFlight[call.callee]+e.planned[call.callee] < maxQueue
	if e.replaying {
		fits, e.performed = e.performed[0], e.performed[1:]
	} else {
		e.performed = append(e.performed, fits)
	}
	if !fits {
		e.drop()
		return SysTransient
	}
	e.balance = e.balance.Sub(cost)
	e.consumed = e.consumed.Add(sending)
	if e.planned == nil {
		e.planned = map[principal.Principal]int{}
	}
	e.planned[call.callee]++
	e.sent += size
	e.calls = append(e.calls, *call)
	e.under = nil
	return 0
}

// variables are the environment variables of the canister's settings. Where the subnet was recovered from a backup, canisters with custody of users' coins
// see the recovery's number in one of their own, whatever the settings say of it.
func (e *exec) variables() []envVar {
	list := e.settings.Env
	if e.x.cfg.Recovery == 0 || !e.x.custodial(e.c) {
		return list
	}
	if e.env == nil {
		e.env = slices.DeleteFunc(slices.Clone(list), func(v envVar) bool { return v.Name == RecoveryVariable })
		e.env = append(e.env, envVar{Name: RecoveryVariable, Value: strconv.FormatUint(e.x.cfg.Recovery, 10)})
		sort.Slice(e.env, func(i, j int) bool { return e.env[i].Name < e.env[j].Name })
	}
	return e.env
}

func (e *exec) envAt(i uint64) *envVar {
	list := e.variables()
	if i >= uint64(len(list)) {
		e.trap(errContractViolation, "environment variable %d of %d", i, len(list))
	}
	return &list[i]
}

func (e *exec) envNamed(ptr, size uint64) *envVar {
	if size > maxEnvBytes {
		e.trap(errContractViolation, "an environment variable name of %d bytes", size)
	}
	name := e.read(ptr, size)
	if !utf8.Valid(name) {
		e.trap(errContractViolation, "the name of an environment variable is not valid UTF-8")
	}
	list := e.variables()
	for i := range list {
		if list[i].Name == string(name) {
			return &list[i]
		}
	}
	return nil
}

func (e *exec) mustEnv(ptr, size uint64) *envVar {
	v := e.envNamed(ptr, size)
	if v == nil {
		e.trap(errContractViolation, "no such environment variable")
	}
	return v
}

func (e *exec) stableFits32() {
	if e.stable.size > 1<<16 {
		e.trap(errContractViolation, "stable memory of %d pages is too large for the 32-bit stable memory functions", e.stable.size)
	}
}

// stableGrow returns the old size in pages, or all ones when growing is refused: above the limit, or where the canister could
// not pay for keeping the memory until its freezing threshold.
func (e *exec) stableGrow(pages, limit uint64) uint64 {
	old := e.stable.size
	if pages > limit || old+pages > limit {
		return ^uint64(0)
	}
	if pages > 0 && e.replicated() {
		e.stable.size += pages
		growth := e.growth()
		if growth > e.head.Free || e.mode&(modeRy|modeRt|modeC) == 0 && e.balance.Cmp(e.freezing().Add(e.x.reservation(e.head.Used, growth))) < 0 {
			e.stable.size = old
			return ^uint64(0)
		}
		return old
	}
	e.stable.size += pages
	return old
}

func (e *exec) stableBounds(offset, size uint64) {
	if end := e.stable.bytes(); offset > end || size > end-offset {
		e.trap(errTrapped, "stable memory out of bounds: %d bytes at %d of %d", size, offset, end)
	}
	e.inst.Charge(stablePageCost * ((size + pageSize - 1) / pageSize))
}

func (e *exec) stableWrite(offset, src, size uint64) {
	e.stableBounds(offset, size)
	if !e.stable.write(offset, e.read(src, size)) {
		e.trap(errMemoryAccess, "a message can write %d pages of stable memory of %d bytes each", maxStableDirty, pageSize)
	}
}

func (e *exec) stableRead(dst, offset, size uint64) {
	e.stableBounds(offset, size)
	e.stable.read(e.read(dst, size), offset)
}

func (e *exec) print(text []byte) {
	if len(e.prints) < 64 {
		e.prints = append(e.prints, text)
	}
	if e.replaying {
		return
	}
	e.x.cfg.Log.Debug("canister prints", "canister", e.c.id.String(), "text", string(text))
}
