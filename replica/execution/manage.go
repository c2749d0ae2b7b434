package execution

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"sort"
	"strings"

	"fusion/chainkey/derive"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

const (
	maxChunk       = 1 << 20 // bytes of a chunk (interface specification, upload_chunk)
	maxChunks      = 100     // of a canister's chunk store
	maxEnvBytes    = 128     // of the name and of the value of an environment variable (resource limits)
	maxEnv         = 20
	maxWasmSize    = 100 << 20
	maxPath        = 255 // elements of a derivation path
	replicaVersion = "fusion"

	defaultFreezing      = 2_592_000           // seconds, 30 days
	defaultReservedLimit = 5_000_000_000_000   // cycles
	provisionalAmount    = 100_000_000_000_000 // cycles a canister gets when the request names no amount
	compilePerByte       = 400                 // instructions of the round's budget that compiling a byte of a module counts
)

var emptyCandid = candid.MustMarshal()

// runManagement executes a call of the management canister.
func (x *Executor) runManagement(m *message) {
	x.used += messageOverhead
	x.result.Messages++
	reply, refund, rej, pending := x.manage(m)
	if !pending {
		if rej != nil {
			refund = m.Cycles
		}
		x.respond(m.Origin, response{data: reply, reject: rej}, refund)
	}
}

// manage carries out a method. pending means that somebody else answers later.
func (x *Executor) manage(m *message) (reply []byte, refund Cycles, rej *Reject, pending bool) {
	info, ok := management.Methods[m.Method]
	user := m.Origin.Kind == originIngress
	switch {
	case m.Expiry != 0 && m.Expiry < x.global.TimeNs:
		return nil, Cycles{}, reject(errIngressTimeout, "Ingress message to the management canister timed out before it was executed"), false
	case !ok:
		return nil, Cycles{}, reject(errMethodNotFound, "Management canister has no method '%s'", m.Method), false
	case info.Missing:
		return nil, Cycles{}, reject(errMethodNotFound, "Management canister method '%s' is not available on this subnet", m.Method), false
	case !info.Update:
		return nil, Cycles{}, reject(errMethodNotFound, "Management canister method '%s' can only be called as a query", m.Method), false
	case user && !info.Ingress:
		return nil, Cycles{}, reject(errCanisterRejected, "Only canisters can call the management canister method '%s'", m.Method), false
	case info.Provisional && !x.cfg.Local:
		return nil, Cycles{}, reject(errCanisterRejected, "Management canister method '%s' exists on local networks only", m.Method), false
	}
	caller := m.Caller.principal()
	refund = m.Cycles
	decode := func(dst any) bool {
		rej = decodeArg(m.Method, m.Data, dst)
		return rej == nil
	}
	switch m.Method {
	case "create_canister":
		var a management.CreateCanisterArgs
		if decode(&a) {
			cost := x.price.creation()
			if m.Cycles.Cmp(cost) < 0 {
				rej = reject(errCreateCycles, "Creating a canister takes %s cycles, %s were sent", cost, m.Cycles)
				break
			}
			if reply, rej = x.create(m, nil, a.Settings, a.SenderCanisterVersion, m.Cycles.Sub(cost)); rej == nil {
				refund = Cycles{}
				x.burn(cost)
			}
		}
	case "provisional_create_canister_with_cycles":
		var a management.ProvisionalCreateArgs
		if decode(&a) {
			amount := CyclesOf(provisionalAmount)
			if a.Amount != nil {
				if amount, rej = cyclesArg("amount", *a.Amount); rej != nil {
					break
				}
			}
			reply, rej = x.create(m, a.SpecifiedID, a.Settings, a.SenderCanisterVersion, amount)
		}
	case "provisional_top_up_canister":
		var a management.ProvisionalTopUpArgs
		if decode(&a) {
			var amount Cycles
			if amount, rej = cyclesArg("amount", a.Amount); rej == nil {
				reply, rej = x.deposit(a.CanisterID, amount)
			}
		}
	case "deposit_cycles":
		var a management.CanisterID
		if decode(&a) {
			if reply, rej = x.deposit(a.CanisterID, m.Cycles); rej == nil {
				refund = Cycles{}
			}
		}
	case "update_settings":
		var a management.UpdateSettingsArgs
		if decode(&a) {
			var c *canister
			if c, rej = x.controlled(a.CanisterID, caller, false); rej == nil {
				reply, rej = emptyCandid, x.changeSettings(m, c, &a.Settings, a.SenderCanisterVersion)
			}
		}
	case "install_code":
		var a management.InstallCodeArgs
		if decode(&a) {
			var c *canister
			if c, rej = x.controlled(a.CanisterID, caller, false); rej == nil {
				reply, rej = emptyCandid, x.install(m, c, a.Mode, a.WasmModule, a.Arg, a.SenderCanisterVersion)
			}
		}
	case "install_chunked_code":
		var a management.InstallChunkedCodeArgs
		if decode(&a) {
			reply, rej = emptyCandid, x.installChunked(m, &a)
		}
	case "upload_chunk":
		var a management.UploadChunkArgs
		if decode(&a) {
			reply, rej = x.uploadChunk(caller, &a)
		}
	case "stored_chunks", "clear_chunk_store":
		var a management.CanisterID
		if decode(&a) {
			var c *canister
			if c, rej = x.controlled(a.CanisterID, caller, true); rej != nil {
				break
			}
			if m.Method == "clear_chunk_store" {
				c.Chunks, c.wipeChunks, c.dirty = nil, true, true
				clear(c.newChunks)
				reply = emptyCandid
				break
			}
			list := []management.ChunkHash{}
			for _, h := range c.Chunks {
				list = append(list, management.ChunkHash{Hash: h})
			}
			reply = candid.MustMarshal(list)
		}
	case "uninstall_code":
		var a management.UninstallCodeArgs
		if decode(&a) {
			var c *canister
			if c, rej = x.controlled(a.CanisterID, caller, false); rej == nil {
				x.uninstall(m, c, a.SenderCanisterVersion)
				reply = emptyCandid
			}
		}
	case "start_canister", "stop_canister", "delete_canister":
		var a management.CanisterID
		if decode(&a) {
			var c *canister
			if c, rej = x.controlled(a.CanisterID, caller, false); rej != nil {
				break
			}
			reply = emptyCandid
			switch m.Method {
			case "start_canister":
				x.start(c)
			case "stop_canister":
				pending = x.stop(m, c)
			default:
				rej = x.delete(c, caller)
			}
		}
	case "canister_status":
		var a management.CanisterID
		if decode(&a) {
			var c *canister
			if c, rej = x.find(a.CanisterID); rej == nil {
				v := c.snapshot(x)
				reply, rej = v.statusReply(a.CanisterID, caller)
			}
		}
	case "canister_info":
		var a management.CanisterInfoArgs
		if decode(&a) {
			var c *canister
			if c, rej = x.find(a.CanisterID); rej == nil {
				v := c.snapshot(x)
				reply = v.infoReply(a.NumRequestedChanges)
			}
		}
	case "canister_metadata":
		var a management.CanisterMetadataArgs
		if decode(&a) {
			reply, rej = x.metadata(caller, &a)
		}
	case "raw_rand":
		if rej = decodeArg(m.Method, m.Data); rej == nil {
			x.openSystemCall(&pendingCall{Kind: RawRand, Caller: m.Caller, Origin: m.Origin, Cycles: m.Cycles})
			pending = true
		}
	case "ecdsa_public_key":
		var a management.EcdsaPublicKeyArgs
		if decode(&a) {
			reply, rej = x.ecdsaPublicKey(caller, &a)
		}
	case "sign_with_ecdsa":
		var a management.SignWithEcdsaArgs
		if decode(&a) {
			if rej = x.signWithEcdsa(m, &a); rej == nil {
				pending = true
			}
		}
	case "http_request":
		var a management.HTTPRequestArgs
		if decode(&a) {
			if rej = x.httpRequest(m, &a); rej == nil {
				pending = true
			}
		}
	case "subnet_info":
		var a management.SubnetInfoArgs
		if decode(&a) {
			if a.SubnetID != x.cfg.Subnet {
				rej = reject(404, "Subnet %s is not known here", a.SubnetID)
				break
			}
			reply = candid.MustMarshal(management.SubnetInfoResult{ReplicaVersion: replicaVersion})
		}
	default:
		panic("execution: management method " + m.Method + " is listed and not carried out")
	}
	return reply, refund, rej, pending
}

func decodeArg(method string, arg []byte, dst ...any) *Reject {
	if err := candid.Unmarshal(arg, dst...); err != nil {
		return reject(errInvalidPayload, "Error decoding the candid argument of the management canister method '%s': %v", method, err)
	}
	return nil
}

func cyclesArg(what string, n candid.Nat) (Cycles, *Reject) {
	hi, lo, ok := n.Uint128()
	if !ok {
		return Cycles{}, reject(errInvalidPayload, "%s of %s cycles does not fit into 128 bits", what, n)
	}
	return Cycles{Hi: hi, Lo: lo}, nil
}

func natOf(c Cycles) candid.Nat { return candid.NatFromUint128(c.Hi, c.Lo) }

// find returns a canister made of wasm, ready to be changed.
func (x *Executor) find(id principal.Principal) (*canister, *Reject) {
	c := x.canisters[id]
	if c == nil || c.kind == managementCanister {
		return nil, reject(errCanisterNotFound, "Canister %s not found", id)
	}
	if c.kind == nativeCanister {
		return nil, reject(errCanisterNotHosted, "Canister %s is part of the replica and has no management interface", id)
	}
	x.checkpoint(c) // what the batch saw must not change under it
	return c, nil
}

// controlled returns the canister if caller may control it. The canister itself may where self is set.
func (x *Executor) controlled(id, caller principal.Principal, self bool) (*canister, *Reject) {
	c, rej := x.find(id)
	if rej != nil {
		return nil, rej
	}
	if !c.isController(caller) && !(self && caller == id) {
		return nil, notController(id, c.Settings.Controllers, caller)
	}
	return c, nil
}

func notController(id principal.Principal, controllers []principalBytes, caller principal.Principal) *Reject {
	names := make([]string, len(controllers))
	for i, p := range controllers {
		names[i] = p.principal().String()
	}
	return reject(errInvalidController, "Only the controllers of the canister %s can control it. Canister's controllers: %s. Sender's ID: %s",
		id, strings.Join(names, " "), caller)
}

// changed records an entry of the history of c and raises its version.
func (x *Executor) changed(c *canister, m *message, senderVersion *uint64, ch change) {
	c.Version++
	ch.Time, ch.Version, ch.Origin, ch.FromUser = x.global.TimeNs, c.Version, m.Caller, m.Origin.Kind == originIngress
	if !ch.FromUser {
		ch.OriginVer = senderVersion
	}
	if ch.Kind == changeCreation {
		c.Version, ch.Version = 0, 0
	}
	c.ChangeCount++
	if c.Changes = append(c.Changes, ch); len(c.Changes) > maxHistory {
		c.Changes = c.Changes[len(c.Changes)-maxHistory:]
	}
	c.dirty = true
}

func (x *Executor) inRange(id principal.Principal) bool {
	if len(x.cfg.Ranges) == 0 {
		return true
	}
	for _, r := range x.cfg.Ranges {
		if r[0].Compare(id) <= 0 && id.Compare(r[1]) <= 0 {
			return true
		}
	}
	return false
}

// used reports whether an id is or was a canister's.
func (x *Executor) taken(id principal.Principal) bool {
	if x.canisters[id] != nil {
		return true
	}
	for _, d := range x.deleted {
		if d == id {
			return true
		}
	}
	_, deleted := x.get(x.store, keyOf(keyDeleted, id))
	return deleted
}

func (x *Executor) create(m *message, specified *principal.Principal, s *management.Settings, senderVersion *uint64, cycles Cycles) ([]byte, *Reject) {
	if len(x.order) >= x.cfg.MaxCanisters {
		return nil, reject(errSubnetFull, "The subnet has %d canisters, the most it takes", len(x.order))
	}
	set := settings{Controllers: []principalBytes{m.Caller}, Freezing: defaultFreezing, ReservedLimit: CyclesOf(defaultReservedLimit)}
	if s != nil {
		if rej := applySettings(&set, s); rej != nil {
			return nil, rej
		}
	}
	var id principal.Principal
	if specified != nil {
		id = *specified
		if n, ok := id.Uint64(); !ok || !x.inRange(id) {
			return nil, reject(errCanisterNotHosted, "The id %s (%d) is not in the canister ranges of this subnet", id, n)
		}
		if x.taken(id) {
			return nil, reject(errCanisterIDExists, "Canister %s is already installed or was deleted: ids are given once", id)
		}
	} else {
		for {
			id = principal.FromUint64(x.global.NextCanister)
			x.global.NextCanister++
			if !x.inRange(id) {
				return nil, reject(errSubnetFull, "The canister range that starts at %s is used up", principal.FromUint64(x.cfg.FirstCanister))
			}
			if !x.taken(id) {
				break
			}
		}
	}
	c := newCanister(id, wasmCanister)
	c.Settings, c.Cycles, c.CreatedNs = set, cycles, x.global.TimeNs
	x.changed(c, m, senderVersion, change{Kind: changeCreation, Controllers: set.Controllers})
	c.view = c.snapshot(x)
	x.mu.Lock()
	x.canisters[id] = c
	x.mu.Unlock()
	at := sort.Search(len(x.order), func(i int) bool { return x.order[i].id.Compare(id) > 0 })
	x.order = append(x.order, nil)
	copy(x.order[at+1:], x.order[at:])
	x.order[at] = c
	x.treeDirty[id] = struct{}{}
	return candid.MustMarshal(management.CanisterID{CanisterID: id}), nil
}

func (x *Executor) deposit(id principal.Principal, amount Cycles) ([]byte, *Reject) {
	c, rej := x.find(id)
	if rej != nil {
		return nil, rej
	}
	c.Cycles, c.dirty = c.Cycles.Add(amount), true
	return emptyCandid, nil
}

func (x *Executor) changeSettings(m *message, c *canister, s *management.Settings, senderVersion *uint64) *Reject {
	next := c.Settings
	if rej := applySettings(&next, s); rej != nil {
		return rej
	}
	if frozen := x.price.freezing(&next, c.memory()); next.Freezing > c.Settings.Freezing && c.Cycles.Cmp(frozen) < 0 {
		return reject(530, "Canister %s has %s cycles and would be frozen by the new settings, which take %s", c.id, c.Cycles, frozen)
	}
	c.Settings = next
	c.watchMemory(x.cfg.MaxHeapBytes)
	if s.Controllers != nil {
		x.changed(c, m, senderVersion, change{Kind: changeControllers, Controllers: next.Controllers})
		x.treeDirty[c.id] = struct{}{}
	} else {
		c.Version++
		c.dirty = true
	}
	return nil
}

// applySettings checks s and writes what it gives into out.
func applySettings(out *settings, s *management.Settings) *Reject {
	bad := func(format string, args ...any) *Reject {
		return reject(errInvalidPayload, "Invalid canister settings: "+format, args...)
	}
	if s.Controllers != nil {
		list := []principalBytes{}
		for _, p := range *s.Controllers {
			if !containsPrincipal(list, p) {
				list = append(list, p.Bytes())
			}
		}
		if len(list) > maxControllers {
			return bad("%d controllers, at most %d are allowed", len(list), maxControllers)
		}
		sort.Slice(list, func(i, j int) bool { return bytes.Compare(list[i], list[j]) < 0 })
		out.Controllers = list
	}
	for _, f := range []struct {
		name string
		nat  *candid.Nat
		to   *uint64
		most uint64
	}{
		{"compute_allocation", s.ComputeAllocation, &out.Compute, 100},
		{"memory_allocation", s.MemoryAllocation, &out.Memory, math.MaxUint64},
		{"freezing_threshold", s.FreezingThreshold, &out.Freezing, math.MaxUint64},
		{"wasm_memory_limit", s.WasmMemoryLimit, &out.WasmLimit, 1 << 48},
		{"wasm_memory_threshold", s.WasmMemoryThreshold, &out.WasmThreshold, 1 << 48},
	} {
		if f.nat == nil {
			continue
		}
		n, ok := f.nat.Uint64()
		if !ok || n > f.most {
			return bad("%s is %s, at most %d is allowed", f.name, f.nat, f.most)
		}
		*f.to = n
	}
	for _, f := range []struct {
		name string
		nat  *candid.Nat
		to   *Cycles
	}{
		{"reserved_cycles_limit", s.ReservedCyclesLimit, &out.ReservedLimit},
		{"minimum_incoming_canister_call_cycles", s.MinIncomingCycles, &out.MinIncoming},
	} {
		if f.nat == nil {
			continue
		}
		n, rej := cyclesArg(f.name, *f.nat)
		if rej != nil {
			return rej
		}
		*f.to = n
	}
	for _, f := range []struct {
		name string
		from *management.Visibility
		to   *visibility
	}{
		{"log_visibility", s.LogVisibility, &out.Logs},
		{"snapshot_visibility", s.SnapshotVisibility, &out.Snapshots},
		{"status_visibility", s.StatusVisibility, &out.Status},
	} {
		switch {
		case f.from == nil:
		case f.from.Public != nil:
			*f.to = visibility{Kind: visibleToAll}
		case f.from.AllowedViewers != nil:
			if n := len(*f.from.AllowedViewers); n > maxControllers {
				return bad("%s has %d viewers, at most %d are allowed", f.name, n, maxControllers)
			}
			*f.to = visibility{Kind: visibleToViewers, Viewers: principalList(*f.from.AllowedViewers)}
		default:
			*f.to = visibility{Kind: visibleToControllers}
		}
	}
	if s.EnvironmentVariables != nil {
		if n := len(*s.EnvironmentVariables); n > maxEnv {
			return bad("%d environment variables, at most %d are allowed", n, maxEnv)
		}
		env := []envVar{}
		for _, v := range *s.EnvironmentVariables {
			if len(v.Name) > maxEnvBytes || len(v.Value) > maxEnvBytes {
				return bad("environment variable %.40q: name and value have at most %d bytes", v.Name, maxEnvBytes)
			}
			for _, w := range env {
				if w.Name == v.Name {
					return bad("environment variable %q is given twice", v.Name)
				}
			}
			env = append(env, envVar{Name: v.Name, Value: v.Value})
		}
		sort.Slice(env, func(i, j int) bool { return env[i].Name < env[j].Name })
		out.Env = env
	}
	return nil
}

func principalList(ps []principal.Principal) []principalBytes {
	out := make([]principalBytes, len(ps))
	for i, p := range ps {
		out[i] = p.Bytes()
	}
	return out
}

func principals(list []principalBytes) []principal.Principal {
	out := make([]principal.Principal, len(list))
	for i, p := range list {
		out[i] = p.principal()
	}
	return out
}

func (x *Executor) start(c *canister) {
	for _, s := range c.Stops {
		x.respond(s.Origin, response{reject: reject(errStopCancelled, "Canister %s was started before it had stopped", c.id)}, s.Cycles)
	}
	c.Stops, c.Status = nil, running
	c.Version++
	c.dirty = true
}

// stop reports whether the answer waits until c has stopped.
func (x *Executor) stop(m *message, c *canister) bool {
	c.Version++
	c.dirty = true
	if c.Status == stopped {
		return false
	}
	c.Status = stopping
	c.Stops = append(c.Stops, stopRequest{Origin: m.Origin, Cycles: m.Cycles, Since: x.global.TimeNs})
	c.dirty = true
	if m.Origin.Kind == originIngress {
		x.processingIngress(m.Origin)
	}
	x.finishStopping(c)
	return true
}

func (x *Executor) delete(c *canister, caller principal.Principal) *Reject {
	if caller == c.id {
		return reject(errInvalidController, "Canister %s cannot delete itself", c.id)
	}
	if c.Status != stopped {
		return reject(errNotStopped, "Canister %s must be stopped before it is deleted; it is %s", c.id, c.Status)
	}
	x.mu.Lock()
	delete(x.canisters, c.id)
	x.mu.Unlock()
	for i := range x.order {
		if x.order[i] == c {
			x.order = append(x.order[:i:i], x.order[i+1:]...)
			break
		}
	}
	c.mu.Lock()
	c.ModuleHash, c.view = nil, view{}
	c.code.Swap(nil).unload()
	c.mu.Unlock()
	x.deleted = append(x.deleted, c.id)
	x.treeDirty[c.id] = struct{}{}
	return nil
}

// uninstall drops code and state and rejects what the canister has not answered.
func (x *Executor) uninstall(m *message, c *canister, senderVersion *uint64) {
	for _, id := range sortedKeys(c.contexts) {
		ctx := c.contexts[id]
		if !ctx.Responded {
			ctx.Responded = true
			x.respond(ctx.Origin, response{reject: &Reject{Code: CanisterReject, Message: "Canister " + c.id.String() + " has been uninstalled."}}, ctx.Available)
			ctx.Available = Cycles{}
		}
		ctx.Deleted = true
	}
	c.mu.Lock()
	c.code.Swap(nil).unload()
	c.stable.wipe()
	c.ModuleHash, c.ModuleSize, c.HeapPages, c.Globals, c.StablePages, c.Certified, c.Timer, c.Hooks = nil, 0, 0, nil, 0, nil, 0, 0
	c.watchMemory(x.cfg.MaxHeapBytes)
	clear(c.heapDirty)
	c.module, c.metadata = nil, nil
	c.logs, c.dirtyLog = nil, true
	c.dirty, c.dirtyModule, c.wipeHeap, c.wipeStable = true, true, true, true
	x.changed(c, m, senderVersion, change{Kind: changeUninstall})
	c.view = c.snapshot(x)
	c.mu.Unlock()
	x.treeDirty[c.id] = struct{}{}
}

func (x *Executor) uploadChunk(caller principal.Principal, a *management.UploadChunkArgs) ([]byte, *Reject) {
	c, rej := x.controlled(a.CanisterID, caller, true)
	if rej != nil {
		return nil, rej
	}
	if len(a.Chunk) > maxChunk {
		return nil, reject(errInvalidPayload, "A chunk of %d bytes, at most %d are allowed", len(a.Chunk), maxChunk)
	}
	hash := sha256.Sum256(a.Chunk)
	if x.chunkIndex(c, hash[:]) < 0 {
		if len(c.Chunks) >= maxChunks {
			return nil, reject(errInvalidPayload, "The chunk store of canister %s has %d chunks, the most it takes", c.id, len(c.Chunks))
		}
		c.Chunks = append(c.Chunks[:len(c.Chunks):len(c.Chunks)], hash[:])
		sort.Slice(c.Chunks, func(i, j int) bool { return bytes.Compare(c.Chunks[i], c.Chunks[j]) < 0 })
		c.newChunks[string(hash[:])] = a.Chunk
		c.dirty = true
	}
	return candid.MustMarshal(management.ChunkHash{Hash: hash[:]}), nil
}

func (x *Executor) chunkIndex(c *canister, hash []byte) int {
	for i, h := range c.Chunks {
		if bytes.Equal(h, hash) {
			return i
		}
	}
	return -1
}

func (x *Executor) installChunked(m *message, a *management.InstallChunkedCodeArgs) *Reject {
	caller := m.Caller.principal()
	c, rej := x.controlled(a.TargetCanister, caller, false)
	if rej != nil {
		return rej
	}
	from := c
	if a.StoreCanister != nil {
		if from, rej = x.controlled(*a.StoreCanister, caller, true); rej != nil {
			return rej
		}
	}
	if len(a.ChunkHashesList) > maxChunks {
		return reject(errInvalidPayload, "%d chunks, at most %d are allowed", len(a.ChunkHashesList), maxChunks)
	}
	var module []byte
	for _, h := range a.ChunkHashesList {
		if x.chunkIndex(from, h.Hash) < 0 {
			return reject(errInvalidPayload, "The chunk %x is not in the chunk store of canister %s", h.Hash, from.id)
		}
		chunk, ok := from.newChunks[string(h.Hash)]
		if !ok {
			if chunk, ok = x.get(x.store, keyOf(keyChunk, from.id, h.Hash...)); !ok {
				panic(fmt.Sprintf("execution: chunk %x of %s is listed and not stored", h.Hash, from.id))
			}
		}
		module = append(module, chunk...)
	}
	if sum := sha256.Sum256(module); !bytes.Equal(sum[:], a.WasmModuleHash) {
		return reject(errInvalidPayload, "The chunks have the hash %x together, wasm_module_hash is %x", sum, a.WasmModuleHash)
	}
	return x.install(m, c, a.Mode, module, a.Arg, a.SenderCanisterVersion)
}

func (x *Executor) metadata(caller principal.Principal, a *management.CanisterMetadataArgs) ([]byte, *Reject) {
	c, rej := x.find(a.CanisterID)
	if rej != nil {
		return nil, rej
	}
	for _, s := range c.metadata {
		if s.Name == a.Name && (s.Public || c.isController(caller)) {
			return candid.MustMarshal(management.CanisterMetadataResult{Value: s.Content}), nil
		}
	}
	return nil, reject(errCanisterRejected, "Canister %s has no metadata %q that %s may read", a.CanisterID, a.Name, caller)
}

func (x *Executor) ecdsaKey(id management.EcdsaKeyID, path [][]byte) (*EcdsaKey, *Reject) {
	if len(path) > maxPath {
		return nil, reject(errInvalidPayload, "A derivation path of %d elements, at most %d are allowed", len(path), maxPath)
	}
	for i := range x.keys {
		if x.keys[i].Name == id.Name {
			return &x.keys[i], nil
		}
	}
	names := make([]string, len(x.keys))
	for i := range x.keys {
		names[i] = x.keys[i].Name
	}
	return nil, reject(errInvalidPayload, "Requested unknown threshold key: ecdsa:Secp256k1:%s, this subnet has: [%s]", id.Name, strings.Join(names, ", "))
}

func (x *Executor) ecdsaPublicKey(caller principal.Principal, a *management.EcdsaPublicKeyArgs) ([]byte, *Reject) {
	key, rej := x.ecdsaKey(a.KeyID, a.DerivationPath)
	if rej != nil {
		return nil, rej
	}
	owner := caller
	if a.CanisterID != nil {
		owner = *a.CanisterID
	}
	child, err := derive.Secp256k1(key.PublicKey, key.ChainCode, derive.Path(owner.Bytes(), a.DerivationPath...))
	if err != nil {
		return nil, reject(errInvalidPayload, "Deriving the key %s: %v", a.KeyID.Name, err)
	}
	return candid.MustMarshal(management.EcdsaPublicKeyResult{PublicKey: child.PublicKey[:], ChainCode: child.ChainCode[:]}), nil
}

func (x *Executor) signWithEcdsa(m *message, a *management.SignWithEcdsaArgs) *Reject {
	key, rej := x.ecdsaKey(a.KeyID, a.DerivationPath)
	if rej != nil {
		return rej
	}
	if len(a.MessageHash) != 32 {
		return reject(errInvalidPayload, "A message hash of %d bytes, it must have 32", len(a.MessageHash))
	}
	cost := x.price.sign()
	if m.Cycles.Cmp(cost) < 0 {
		return reject(errCanisterRejected, "sign_with_ecdsa request sent with %s cycles, but %s cycles are required", m.Cycles, cost)
	}
	x.burn(cost)
	req := &SignRequest{Key: key.Name, Path: a.DerivationPath, Hash: [32]byte(a.MessageHash)}
	x.openSystemCall(&pendingCall{Kind: Sign, Caller: m.Caller, Origin: m.Origin, Cycles: m.Cycles.Sub(cost), Fee: cost, Sign: req})
	return nil
}

// systemReply turns the subnet's answer into the reply of the management canister's method.
func systemReply(p *pendingCall, r *SystemResponse) response {
	switch {
	case r.RejectCode != 0:
		return response{reject: &Reject{Code: r.RejectCode, Message: r.RejectMessage}}
	case p.Kind == Sign && len(r.Signature) == 64:
		return response{data: candid.MustMarshal(management.SignWithEcdsaResult{Signature: r.Signature})}
	case p.Kind == RawRand && len(r.Random) == 32:
		return response{data: candid.MustMarshal(r.Random)}
	case p.Kind == Outcall:
		return response{data: r.Reply}
	}
	return response{reject: &Reject{Code: SysTransient, Message: "the subnet's answer to " + p.Kind.String() + " is malformed"}}
}
