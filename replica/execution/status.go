package execution

import (
	"bytes"
	"sort"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

func visibilityOf(v visibility) management.Visibility {
	switch v.Kind {
	case visibleToAll:
		return management.Visibility{Public: candid.Unit}
	case visibleToViewers:
		list := principals(v.Viewers)
		return management.Visibility{AllowedViewers: &list}
	}
	return management.Visibility{Controllers: candid.Unit}
}

func optBytes(b []byte) *[]byte {
	if len(b) == 0 {
		return nil
	}
	return &b
}

// statusReply is the reply of canister_status about v.
func (v *view) statusReply(id, caller principal.Principal, admin bool) ([]byte, *Reject) {
	if !admin && caller != id && !v.settings.Status.allows(v.settings.Controllers, caller) {
		return nil, notController(id, v.settings.Controllers, caller)
	}
	n := candid.NatFromUint64
	out := management.CanisterStatusResult{
		Version: v.version, ModuleHash: optBytes(v.moduleHash), MemorySize: n(v.memory), Cycles: natOf(v.cycles),
		ReservedCycles: natOf(v.reserved), IdleCyclesBurnedPerDay: natOf(v.burnPerDay),
		MemoryMetrics: management.MemoryMetrics{WasmMemorySize: n(v.heapPages * wasmPage), StableMemorySize: n(v.stablePages * wasmPage),
			GlobalMemorySize: n(uint64(v.globals) * 8), WasmBinarySize: n(v.moduleSize), CustomSectionsSize: n(v.sections),
			CanisterHistorySize: n(uint64(len(v.changes)) * changeBytes), WasmChunkStoreSize: n(uint64(v.chunks) * maxChunk), SnapshotsSize: n(v.snapshots)},
		Settings: management.DefiniteSettings{Controllers: principals(v.settings.Controllers), ComputeAllocation: n(v.settings.Compute),
			MemoryAllocation: n(v.settings.Memory), FreezingThreshold: n(v.settings.Freezing), ReservedCyclesLimit: natOf(v.settings.ReservedLimit),
			MinIncomingCycles: natOf(v.settings.MinIncoming), LogVisibility: visibilityOf(v.settings.Logs),
			SnapshotVisibility: visibilityOf(v.settings.Snapshots), StatusVisibility: visibilityOf(v.settings.Status),
			WasmMemoryLimit: n(v.settings.WasmLimit), WasmMemoryThreshold: n(v.settings.WasmThreshold)},
	}
	for _, e := range v.settings.Env {
		out.Settings.EnvironmentVariables = append(out.Settings.EnvironmentVariables, management.EnvironmentVariable{Name: e.Name, Value: e.Value})
	}
	switch v.status {
	case running:
		out.Status.Running = candid.Unit
	case stopping:
		out.Status.Stopping = candid.Unit
	default:
		out.Status.Stopped = candid.Unit
		out.ReadyForMigration = true
	}
	return candid.MustMarshal(out), nil
}

// infoReply is the reply of canister_info about v.
func (v *view) infoReply(changes *uint64) []byte {
	out := management.CanisterInfoResult{TotalNumChanges: v.changeCount, ModuleHash: optBytes(v.moduleHash),
		Controllers: principals(v.settings.Controllers), RecentChanges: []management.Change{}}
	list := v.changes
	if changes == nil {
		list = nil
	} else if n := uint64(len(list)); *changes < n {
		list = list[n-*changes:]
	}
	for _, ch := range list {
		r := management.Change{TimestampNanos: ch.Time, CanisterVersion: ch.Version}
		if who := ch.Origin.principal(); ch.FromUser {
			r.Origin.FromUser = &management.FromUser{UserID: who}
		} else {
			r.Origin.FromCanister = &management.FromCanister{CanisterID: who, CanisterVersion: ch.OriginVer}
		}
		switch ch.Kind {
		case changeCreation:
			r.Details.Creation = &management.Creation{Controllers: principals(ch.Controllers), EnvHash: optBytes(ch.Hash)}
		case changeUninstall:
			r.Details.CodeUninstall = candid.Unit
		case changeLoadSnapshot:
			d := &management.LoadSnapshot{SnapshotID: ch.Load.ID, CanisterVersion: ch.Load.Version, TakenAt: ch.Load.TakenNs, Source: sourceOf(ch.Load.Source)}
			if len(ch.Load.Canister) > 0 {
				from := ch.Load.Canister.principal()
				d.FromCanister = &from
			}
			r.Details.LoadSnapshot = d
		case changeControllers:
			r.Details.ControllersChange = &management.ControllersChange{Controllers: principals(ch.Controllers)}
		case changeDeployment:
			d := &management.Deployment{ModuleHash: ch.Hash}
			switch ch.Mode {
			case modeInstall:
				d.Mode.Install = candid.Unit
			case modeReinstall:
				d.Mode.Reinstall = candid.Unit
			default:
				d.Mode.Upgrade = candid.Unit
			}
			r.Details.CodeDeployment = d
		}
		out.RecentChanges = append(out.RecentChanges, r)
	}
	return candid.MustMarshal(out)
}

// logsReply is the reply of fetch_canister_logs about v.
func (v *view) logsReply(id, caller principal.Principal) ([]byte, *Reject) {
	if !v.settings.Logs.allows(v.settings.Controllers, caller) {
		return nil, reject(errCanisterRejected, "Caller %s is not allowed to access canister logs of %s", caller, id)
	}
	out := management.FetchLogsResult{Records: []management.LogRecord{}}
	for _, l := range v.logs {
		out.Records = append(out.Records, management.LogRecord{Index: l.Index, TimestampNanos: l.TimeNs, Content: l.Content})
	}
	return candid.MustMarshal(out), nil
}

// CanisterInfo is what the replica shows of a canister to its operator.
type CanisterInfo struct {
	ID          principal.Principal
	Native      bool
	Status      string
	Controllers []principal.Principal
	ModuleHash  []byte
	Cycles      Cycles
	Memory      uint64 // bytes
	Version     uint64
}

// Canisters lists all canisters by id. It may be called at any time.
func (x *Executor) Canisters() []CanisterInfo {
	x.mu.RLock()
	all := make([]*canister, 0, len(x.canisters))
	for _, c := range x.canisters {
		if c.kind != managementCanister {
			all = append(all, c)
		}
	}
	x.mu.RUnlock()
	out := make([]CanisterInfo, 0, len(all))
	for _, c := range all {
		c.mu.RLock()
		v := c.view
		c.mu.RUnlock()
		out = append(out, CanisterInfo{ID: c.id, Native: c.kind == nativeCanister, Status: v.status.String(), Controllers: principals(v.settings.Controllers),
			ModuleHash: bytes.Clone(v.moduleHash), Cycles: v.cycles, Memory: v.memory, Version: v.version})
	}
	sortCanisters(out)
	return out
}

// HasCanister reports whether an id is a canister's, a native one's included. It may be called at any time.
func (x *Executor) HasCanister(id principal.Principal) bool {
	c := x.lookup(id)
	return c != nil && c.kind != managementCanister
}

// Metadata returns a section of a canister's metadata and whether it is public; ok is false when there is none. Controllers may read the private ones.
func (x *Executor) Metadata(id principal.Principal, name string) (content []byte, public, ok bool) {
	c := x.lookup(id)
	if c == nil {
		return nil, false, false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, s := range c.view.metadata {
		if s.Name == name {
			return s.Content, s.Public, true
		}
	}
	return nil, false, false
}

// Controllers returns the controllers of a canister. It may be called at any time.
func (x *Executor) Controllers(id principal.Principal) ([]principal.Principal, bool) {
	c := x.lookup(id)
	if c == nil || c.kind == managementCanister {
		return nil, false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return principals(c.view.settings.Controllers), true
}

func sortCanisters(list []CanisterInfo) {
	sort.Slice(list, func(i, j int) bool { return list[i].ID.Compare(list[j].ID) < 0 })
}
