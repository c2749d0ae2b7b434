package execution

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"sort"
	"strings"

	"fusion/chainkey/vetkd"
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

// call is a call of a management method at work.
type call struct {
	*message
	caller  principal.Principal
	refund  Cycles // of what is attached, with a reply; a rejection gives everything back
	keeps   bool   // refund holds for a rejection too
	pending bool   // somebody else answers later
	later   bool   // it is tried again in the next block
}

// handler carries out a method: it answers with a reply or a rejection, unless it makes the call pending.
type handler func(x *Executor, k *call) ([]byte, *Reject)

// with makes a handler of a function that takes the decoded argument.
func with[A any](f func(x *Executor, k *call, a *A) ([]byte, *Reject)) handler {
	return func(x *Executor, k *call) ([]byte, *Reject) {
		var a A
		if rej := decodeArg(k.Method, k.Data, &a); rej != nil {
			return nil, rej
		}
		return f(x, k, &a)
	}
}

// Who may do something to a canister beside its controllers.
const (
	bySelf  = 1 << iota // the canister itself
	byAdmin             // subnet admins
)

// onCanister makes a handler of a function about a canister that the caller must control, or be one of others.
func onCanister(others int, f func(x *Executor, k *call, c *canister) ([]byte, *Reject)) handler {
	return with(func(x *Executor, k *call, a *management.CanisterID) ([]byte, *Reject) {
		c, rej := x.controlled(a.CanisterID, k.caller, others)
		if rej != nil {
			return nil, rej
		}
		return f(x, k, c)
	})
}

// handlers are the methods that are calls; management.Methods says who may make them.
var handlers = map[string]handler{
	"create_canister":                         with((*Executor).createCanister),
	"provisional_create_canister_with_cycles": with((*Executor).provisionalCreate),
	"provisional_top_up_canister":             with((*Executor).provisionalTopUp),
	"deposit_cycles":                          with((*Executor).depositCycles),
	"update_settings":                         with((*Executor).updateSettings),
	"install_code":                            with((*Executor).installCode),
	"install_chunked_code":                    with((*Executor).installChunked),
	"uninstall_code":                          with((*Executor).uninstallCode),
	"upload_chunk":                            with((*Executor).uploadChunk),
	"stored_chunks":                           onCanister(bySelf, (*Executor).storedChunks),
	"clear_chunk_store":                       onCanister(bySelf, (*Executor).clearChunks),
	"take_canister_snapshot":                  with((*Executor).takeSnapshot),
	"load_canister_snapshot":                  with((*Executor).loadSnapshot),
	"list_canister_snapshots":                 with((*Executor).listSnapshots),
	"delete_canister_snapshot":                with((*Executor).deleteSnapshot),
	"read_canister_snapshot_metadata":         with((*Executor).readSnapshotMetadata),
	"read_canister_snapshot_data":             with((*Executor).readSnapshotData),
	"upload_canister_snapshot_metadata":       with((*Executor).uploadSnapshotMetadata),
	"upload_canister_snapshot_data":           with((*Executor).uploadSnapshotData),
	"start_canister":                          onCanister(byAdmin, (*Executor).startCanister),
	"stop_canister":                           onCanister(byAdmin, (*Executor).stopCanister),
	"delete_canister":                         onCanister(byAdmin, (*Executor).deleteCanister),
	"canister_status":                         with((*Executor).canisterStatus),
	"canister_info":                           with((*Executor).canisterInfo),
	"canister_metadata":                       with((*Executor).canisterMetadata),
	"canister_metrics":                        with((*Executor).canisterMetrics),
	"raw_rand":                                (*Executor).rawRand,
	"ecdsa_public_key":                        with((*Executor).ecdsaPublicKey),
	"sign_with_ecdsa":                         with((*Executor).signWithEcdsa),
	"schnorr_public_key":                      with((*Executor).schnorrPublicKey),
	"sign_with_schnorr":                       with((*Executor).signWithSchnorr),
	"vetkd_public_key":                        with((*Executor).vetkdPublicKey),
	"vetkd_derive_key":                        with((*Executor).vetkdDeriveKey),
	"http_request":                            with((*Executor).httpRequest),
	"subnet_info":                             with((*Executor).subnetInfo),
	"node_metrics_history":                    with((*Executor).nodeMetricsHistory),
	"bitcoin_get_balance":                     (*Executor).bitcoin,
	"bitcoin_get_utxos":                       (*Executor).bitcoin,
	"bitcoin_send_transaction":                (*Executor).bitcoin,
	"bitcoin_get_current_fee_percentiles":     (*Executor).bitcoin,
	"bitcoin_get_block_headers":               (*Executor).bitcoin,
}

// runManagement executes a call of the management canister.
func (x *Executor) runManagement(m *message) {
	x.used += messageOverhead
	x.executed(1)
	k := &call{message: m, caller: m.Caller.principal(), refund: m.Cycles}
	reply, rej := x.manage(k)
	if k.later {
		x.postponed = append(x.postponed, m)
		return
	}
	if k.pending {
		return
	}
	if rej != nil && !k.keeps {
		k.refund = m.Cycles
	}
	x.respond(m.Origin, response{data: reply, reject: rej}, k.refund)
}

// manage carries out a method.
func (x *Executor) manage(k *call) ([]byte, *Reject) {
	info, ok := management.Methods[k.Method]
	user := k.Origin.Kind == originIngress
	switch {
	case k.Expiry != 0 && k.Expiry < x.global.TimeNs:
		return nil, reject(errIngressTimeout, "Ingress message to the management canister timed out before it was executed")
	case !ok:
		return nil, reject(errMethodNotFound, "Management canister has no method '%s'", k.Method)
	case !info.Update:
		return nil, reject(errCanisterRejected, "Management canister method '%s' can only be called as a query", k.Method)
	case user && !info.Ingress && !(info.Admin && x.isAdmin(k.caller)):
		return nil, reject(errCanisterRejected, "Only canisters can call the management canister method '%s'", k.Method)
	case info.Provisional && !x.cfg.Local:
		return nil, reject(errCanisterRejected, "Management canister method '%s' exists on local networks only", k.Method)
	}
	h := handlers[k.Method]
	if h == nil {
		panic("execution: management method " + k.Method + " is listed and not carried out")
	}
	return h(x, k)
}

func (x *Executor) createCanister(k *call, a *management.CreateCanisterArgs) ([]byte, *Reject) {
	cost := x.creationCost()
	if k.Cycles.Cmp(cost) < 0 {
		return nil, reject(errCreateCycles, "Creating a canister takes %s cycles, %s were sent", cost, k.Cycles)
	}
	c, reply, rej := x.create(k, nil, a.Settings, a.SenderCanisterVersion, k.Cycles.Sub(cost))
	if rej == nil {
		k.refund = Cycles{}
		c.consume(forCreation, cost)
	}
	return reply, rej
}

// creationCost is nothing on a subnet with admins: it is somebody's own.
func (x *Executor) creationCost() Cycles {
	if len(x.cfg.Admins) > 0 {
		return Cycles{}
	}
	return x.prices().creation()
}

func (x *Executor) provisionalCreate(k *call, a *management.ProvisionalCreateArgs) ([]byte, *Reject) {
	amount := CyclesOf(provisionalAmount)
	if a.Amount != nil {
		var rej *Reject
		if amount, rej = cyclesArg("amount", *a.Amount); rej != nil {
			return nil, rej
		}
	}
	_, reply, rej := x.create(k, a.SpecifiedID, a.Settings, a.SenderCanisterVersion, amount)
	return reply, rej
}

func (x *Executor) provisionalTopUp(_ *call, a *management.ProvisionalTopUpArgs) ([]byte, *Reject) {
	amount, rej := cyclesArg("amount", a.Amount)
	if rej != nil {
		return nil, rej
	}
	return x.deposit(a.CanisterID, amount)
}

func (x *Executor) depositCycles(k *call, a *management.CanisterID) ([]byte, *Reject) {
	k.refund = Cycles{}
	return x.deposit(a.CanisterID, k.Cycles)
}

func (x *Executor) updateSettings(k *call, a *management.UpdateSettingsArgs) ([]byte, *Reject) {
	c, rej := x.controlled(a.CanisterID, k.caller, 0)
	if rej != nil {
		return nil, rej
	}
	return emptyCandid, x.changeSettings(k, c, &a.Settings, a.SenderCanisterVersion)
}

func (x *Executor) installCode(k *call, a *management.InstallCodeArgs) ([]byte, *Reject) {
	c, rej := x.controlled(a.CanisterID, k.caller, 0)
	if rej != nil {
		return nil, rej
	}
	return emptyCandid, x.install(k.message, c, a.Mode, a.WasmModule, a.Arg, a.SenderCanisterVersion)
}

func (x *Executor) uninstallCode(k *call, a *management.UninstallCodeArgs) ([]byte, *Reject) {
	c, rej := x.controlled(a.CanisterID, k.caller, byAdmin)
	if rej == nil {
		rej = x.keeps(c, "uninstalled")
	}
	if rej == nil {
		x.uninstall(k.message, c, a.SenderCanisterVersion)
	}
	return emptyCandid, rej
}

func (x *Executor) startCanister(_ *call, c *canister) ([]byte, *Reject) {
	x.start(c)
	return emptyCandid, nil
}

func (x *Executor) stopCanister(k *call, c *canister) ([]byte, *Reject) {
	k.pending = x.stop(k.message, c)
	return emptyCandid, nil
}

func (x *Executor) deleteCanister(k *call, c *canister) ([]byte, *Reject) {
	if rej := x.keeps(c, "deleted"); rej != nil {
		return nil, rej
	}
	return emptyCandid, x.delete(c, k.caller)
}

func (x *Executor) storedChunks(_ *call, c *canister) ([]byte, *Reject) {
	list := []management.ChunkHash{}
	for _, h := range c.Chunks {
		list = append(list, management.ChunkHash{Hash: h})
	}
	return candid.MustMarshal(list), nil
}

func (x *Executor) clearChunks(_ *call, c *canister) ([]byte, *Reject) {
	x.layers.drop(c.ChunkLayer)
	c.Chunks, c.ChunkLayer, c.dirty = nil, 0, true
	clear(c.newChunks)
	return emptyCandid, nil
}

func (x *Executor) canisterStatus(k *call, a *management.CanisterID) ([]byte, *Reject) {
	c, rej := x.find(a.CanisterID)
	if rej != nil {
		return nil, rej
	}
	v := c.snapshot(x)
	return v.statusReply(a.CanisterID, k.caller, x.isAdmin(k.caller))
}

func (x *Executor) canisterInfo(_ *call, a *management.CanisterInfoArgs) ([]byte, *Reject) {
	c, rej := x.find(a.CanisterID)
	if rej != nil {
		return nil, rej
	}
	v := c.snapshot(x)
	return v.infoReply(a.NumRequestedChanges), nil
}

func (x *Executor) canisterMetrics(k *call, a *management.CanisterID) ([]byte, *Reject) {
	c, rej := x.find(a.CanisterID)
	if rej != nil {
		return nil, rej
	}
	v := c.snapshot(x)
	return v.metricsReply(a.CanisterID, k.caller, x.isAdmin(k.caller))
}

func (x *Executor) rawRand(k *call) ([]byte, *Reject) {
	if rej := decodeArg(k.Method, k.Data); rej != nil {
		return nil, rej
	}
	x.openSystemCall(&pendingCall{Kind: RawRand, Caller: k.Caller, Origin: k.Origin, Cycles: k.Cycles})
	k.pending = true
	return nil, nil
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

// controlled returns the canister if caller is a controller of it, or one of the others who may.
func (x *Executor) controlled(id, caller principal.Principal, others int) (*canister, *Reject) {
	c, rej := x.find(id)
	if rej != nil {
		return nil, rej
	}
	if rej := x.guarded(c, caller); rej != nil {
		return nil, rej
	}
	if x.governed() && c.ward && caller == x.cfg.Root {
		return c, nil // whoever made it may have forgotten the root canister
	}
	if !c.isController(caller) && !(others&bySelf != 0 && caller == id) && !(others&byAdmin != 0 && x.isAdmin(caller)) {
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

func (x *Executor) create(k *call, specified *principal.Principal, s *management.Settings, senderVersion *uint64, cycles Cycles) (*canister, []byte, *Reject) {
	if len(x.order) >= x.cfg.MaxCanisters {
		return nil, nil, reject(errSubnetFull, "The subnet has %d canisters, the most it takes", len(x.order))
	}
	set := settings{Controllers: []principalBytes{k.Caller}, Freezing: defaultFreezing, ReservedLimit: CyclesOf(defaultReservedLimit)}
	if s != nil {
		if rej := applySettings(&set, s); rej != nil {
			return nil, nil, rej
		}
	}
	if rej := x.mayAllocate(0, set.Compute); rej != nil {
		return nil, nil, rej
	}
	if frozen := x.prices().freezing(&set, 0, Cycles{}); set.Compute > 0 && cycles.Cmp(frozen) < 0 {
		return nil, nil, reject(errComputeCycles, "The compute allocation takes %s cycles until the freezing threshold, the canister would have %s", frozen, cycles)
	}
	var id principal.Principal
	if specified != nil {
		id = *specified
		if n, ok := id.Uint64(); !ok || !x.inRange(id) {
			return nil, nil, reject(errCanisterNotHosted, "The id %s (%d) is not in the canister ranges of this subnet", id, n)
		}
		if x.taken(id) {
			return nil, nil, reject(errCanisterIDExists, "Canister %s is already installed or was deleted: ids are given once", id)
		}
	} else {
		for {
			id = principal.FromUint64(x.global.NextCanister)
			x.global.NextCanister++
			if !x.inRange(id) {
				return nil, nil, reject(errSubnetFull, "The canister range that starts at %s is used up", principal.FromUint64(x.cfg.FirstCanister))
			}
			if !x.taken(id) {
				break
			}
		}
	}
	c := newCanister(id, wasmCanister)
	c.queries = x.queryPlaces()
	c.Cycles, c.CreatedNs, c.ChargedNs = cycles, x.global.TimeNs, x.global.TimeNs
	if rej := x.grow(c, set.Memory, &set, 0, errMemoryAllocationCycles); rej != nil {
		return nil, nil, rej
	}
	c.Settings = set
	x.inherit(c, k.caller)
	created := change{Kind: changeCreation, Controllers: set.Controllers}
	if s != nil && s.EnvironmentVariables != nil {
		created.Hash = envHash(set.Env)
	}
	x.changed(c, k.message, senderVersion, created)
	c.view = c.snapshot(x)
	x.mu.Lock()
	x.canisters[id] = c
	x.mu.Unlock()
	at := sort.Search(len(x.order), func(i int) bool { return x.order[i].id.Compare(id) > 0 })
	x.order = append(x.order, nil)
	copy(x.order[at+1:], x.order[at:])
	x.order[at] = c
	x.treeDirty[id] = struct{}{}
	return c, candid.MustMarshal(management.CanisterID{CanisterID: id}), nil
}

func (x *Executor) deposit(id principal.Principal, amount Cycles) ([]byte, *Reject) {
	c, rej := x.find(id)
	if rej != nil {
		return nil, rej
	}
	c.Cycles, c.dirty = c.Cycles.Add(amount), true
	if c.run == nil {
		c.payDebt()
	}
	return emptyCandid, nil
}

func (x *Executor) changeSettings(k *call, c *canister, s *management.Settings, senderVersion *uint64) *Reject {
	next := c.Settings
	if rej := applySettings(&next, s); rej != nil {
		return rej
	}
	x.chargeIdle(c)
	if rej := x.mayAllocate(c.Settings.Compute, next.Compute); rej != nil {
		return rej
	}
	if frozen := x.prices().freezing(&next, c.memory(), c.Reserved); (next.Freezing > c.Settings.Freezing || next.Compute > c.Settings.Compute) && c.Cycles.Cmp(frozen) < 0 {
		return reject(errComputeCycles, "Canister %s has %s cycles and would be frozen by the new settings, which take %s", c.id, c.Cycles, frozen)
	}
	if next.Memory > c.allocated() {
		if rej := x.grow(c, next.Memory-c.allocated(), &next, c.memory(), errMemoryAllocationCycles); rej != nil {
			return rej
		}
	}
	c.Settings = next
	c.watchMemory(x.cfg.MaxHeapBytes)
	if s.Controllers != nil {
		x.changed(c, k.message, senderVersion, change{Kind: changeControllers, Controllers: next.Controllers})
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

// envHash is the representation-independent hash of environment variables (section "Hash of map").
func envHash(env []envVar) []byte {
	pairs := make([]string, len(env))
	for i, v := range env {
		name, value := sha256.Sum256([]byte(v.Name)), sha256.Sum256([]byte(v.Value))
		pairs[i] = string(name[:]) + string(value[:])
	}
	sort.Strings(pairs)
	sum := sha256.Sum256([]byte(strings.Join(pairs, "")))
	return sum[:]
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
	c.lock()
	c.ModuleHash, c.view = nil, view{}
	c.code.Swap(nil).unload()
	c.mu.Unlock()
	for _, layer := range []uint64{c.HeapLayer, c.StableLayer, c.ChunkLayer} {
		x.layers.drop(layer)
	}
	for _, s := range c.snapshots {
		for _, layer := range s.layers() {
			x.layers.drop(layer)
		}
	}
	x.uncount(c)
	// What the canister consumed stays in the totals of the subnet, and what it had left is gone.
	m := x.canisters[principal.Management]
	for what, n := range c.Consumed {
		m.consume(use(what), n)
	}
	m.consume(forBurning, c.Cycles.Add(c.Reserved).Sub(c.Debt))
	x.deleted = append(x.deleted, c.id)
	x.treeDirty[c.id] = struct{}{}
	return nil
}

func (x *Executor) uninstall(m *message, c *canister, senderVersion *uint64) {
	x.chargeIdle(c)
	x.strip(c)
	x.changed(c, m, senderVersion, change{Kind: changeUninstall})
	x.publish(c)
}

// strip drops code and state and rejects what the canister has not answered.
func (x *Executor) strip(c *canister) {
	for _, id := range sortedKeys(c.contexts) {
		ctx := c.contexts[id]
		if !ctx.Responded {
			ctx.Responded = true
			x.respond(ctx.Origin, response{reject: &Reject{Code: CanisterReject, Message: "Canister " + c.id.String() + " has been uninstalled."}}, ctx.Available)
			ctx.Available = Cycles{}
		}
		ctx.Deleted = true
	}
	c.lock()
	c.code.Swap(nil).unload()
	c.stable.reset()
	x.layers.drop(c.HeapLayer)
	x.layers.drop(c.StableLayer)
	x.layers.drop(c.ChunkLayer)
	c.HeapLayer, c.StableLayer, c.ChunkLayer, c.Chunks = 0, 0, 0, nil
	clear(c.newChunks)
	c.ModuleHash, c.ModuleSize, c.HeapPages, c.Globals, c.StablePages, c.Certified, c.Timer, c.Hooks = nil, 0, 0, nil, 0, nil, 0, 0
	c.watchMemory(x.cfg.MaxHeapBytes)
	clear(c.heapDirty)
	c.module, c.metadata = nil, nil
	c.logs, c.dirtyLog = nil, true
	c.dirty, c.dirtyModule = true, true
	c.mu.Unlock()
	x.treeDirty[c.id] = struct{}{}
}

func (x *Executor) uploadChunk(k *call, a *management.UploadChunkArgs) ([]byte, *Reject) {
	c, rej := x.controlled(a.CanisterID, k.caller, bySelf)
	if rej != nil {
		return nil, rej
	}
	if len(a.Chunk) > maxChunk {
		return nil, reject(errInvalidPayload, "A chunk of %d bytes, at most %d are allowed", len(a.Chunk), maxChunk)
	}
	hash := sha256.Sum256(a.Chunk)
	if chunkIndex(c.Chunks, hash[:]) < 0 {
		if len(c.Chunks) >= maxChunks {
			return nil, reject(errInvalidPayload, "The chunk store of canister %s has %d chunks, the most it takes", c.id, len(c.Chunks))
		}
		if rej := x.pay(c, maxChunk, c.memory()+maxChunk); rej != nil {
			return nil, rej
		}
		c.Chunks = insertChunk(c.Chunks, hash[:])
		if c.ChunkLayer == 0 {
			c.ChunkLayer = x.layers.add(keyChunk, 0)
		}
		c.newChunks[string(hash[:])] = a.Chunk
		c.dirty = true
	}
	return candid.MustMarshal(management.ChunkHash{Hash: hash[:]}), nil
}

func (x *Executor) installChunked(k *call, a *management.InstallChunkedCodeArgs) ([]byte, *Reject) {
	c, rej := x.controlled(a.TargetCanister, k.caller, 0)
	if rej != nil {
		return nil, rej
	}
	from := c
	if a.StoreCanister != nil {
		if from, rej = x.controlled(*a.StoreCanister, k.caller, bySelf); rej != nil {
			return nil, rej
		}
	}
	if len(a.ChunkHashesList) > maxChunks {
		return nil, reject(errInvalidPayload, "%d chunks, at most %d are allowed", len(a.ChunkHashesList), maxChunks)
	}
	var module []byte
	for _, h := range a.ChunkHashesList {
		if chunkIndex(from.Chunks, h.Hash) < 0 {
			return nil, reject(errInvalidPayload, "The chunk %x is not in the chunk store of canister %s", h.Hash, from.id)
		}
		chunk, ok := from.newChunks[string(h.Hash)]
		if !ok {
			if chunk, ok = layered(x.fromRound, keyChunk, x.layers.chain(from.ChunkLayer), h.Hash); !ok {
				panic(fmt.Sprintf("execution: chunk %x of %s is listed and not stored", h.Hash, from.id))
			}
		}
		module = append(module, chunk...)
	}
	if sum := sha256.Sum256(module); !bytes.Equal(sum[:], a.WasmModuleHash) {
		return nil, reject(errInvalidPayload, "The chunks have the hash %x together, wasm_module_hash is %x", sum, a.WasmModuleHash)
	}
	return emptyCandid, x.install(k.message, c, a.Mode, module, a.Arg, a.SenderCanisterVersion)
}

func (x *Executor) canisterMetadata(k *call, a *management.CanisterMetadataArgs) ([]byte, *Reject) {
	c, rej := x.find(a.CanisterID)
	if rej != nil {
		return nil, rej
	}
	for _, s := range c.metadata {
		if s.Name == a.Name && (s.Public || c.isController(k.caller)) {
			return candid.MustMarshal(management.CanisterMetadataResult{Value: s.Content}), nil
		}
	}
	return nil, reject(errCanisterRejected, "Canister %s has no metadata %q that %s may read", a.CanisterID, a.Name, k.caller)
}

// systemReply turns the subnet's answer into the reply of the management canister's method.
func systemReply(p *pendingCall, r *SystemResponse) response {
	switch {
	case r.RejectCode != 0:
		return response{reject: &Reject{Code: r.RejectCode, Message: r.RejectMessage}}
	case p.Kind == Sign && len(r.Signature) == 64:
		return response{data: candid.MustMarshal(management.SignatureResult{Signature: r.Signature})}
	case p.Kind == Derive && len(r.EncryptedKey) == vetkd.EncryptedKeySize:
		return response{data: candid.MustMarshal(management.VetKDDeriveKeyResult{EncryptedKey: r.EncryptedKey})}
	case p.Kind == RawRand && len(r.Random) == 32:
		return response{data: candid.MustMarshal(r.Random)}
	case p.Kind == Outcall:
		return response{data: r.Reply}
	}
	return response{reject: &Reject{Code: SysTransient, Message: "the subnet's answer to " + p.Kind.String() + " is malformed"}}
}
