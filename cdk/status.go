package cdk

import (
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// EnvironmentVariable is part of a canister's settings.
type EnvironmentVariable struct {
	Name  string `candid:"name"`
	Value string `candid:"value"`
}

// LogVisibility says who may read a canister's log.
type LogVisibility struct {
	candid.Variant
	Controllers    *candid.Null           `candid:"controllers"`
	Public         *candid.Null           `candid:"public"`
	AllowedViewers *[]principal.Principal `candid:"allowed_viewers"`
}

// CanisterSettings are a canister's settings as the management canister reports them.
type CanisterSettings struct {
	FreezingThreshold    candid.Nat            `candid:"freezing_threshold"`
	Controllers          []principal.Principal `candid:"controllers"`
	MemoryAllocation     candid.Nat            `candid:"memory_allocation"`
	ComputeAllocation    candid.Nat            `candid:"compute_allocation"`
	ReservedCyclesLimit  candid.Nat            `candid:"reserved_cycles_limit"`
	LogVisibility        LogVisibility         `candid:"log_visibility"`
	WasmMemoryLimit      candid.Nat            `candid:"wasm_memory_limit"`
	WasmMemoryThreshold  candid.Nat            `candid:"wasm_memory_threshold"`
	EnvironmentVariables []EnvironmentVariable `candid:"environment_variables"`
}

// QueryStats count queries.
type QueryStats struct {
	ResponsePayloadBytesTotal candid.Nat `candid:"response_payload_bytes_total"`
	NumInstructionsTotal      candid.Nat `candid:"num_instructions_total"`
	NumCallsTotal             candid.Nat `candid:"num_calls_total"`
	RequestPayloadBytesTotal  candid.Nat `candid:"request_payload_bytes_total"`
}

// MemoryMetrics are sizes in bytes.
type MemoryMetrics struct {
	WasmMemorySize      candid.Nat `candid:"wasm_memory_size"`
	StableMemorySize    candid.Nat `candid:"stable_memory_size"`
	GlobalMemorySize    candid.Nat `candid:"global_memory_size"`
	WasmBinarySize      candid.Nat `candid:"wasm_binary_size"`
	CustomSectionsSize  candid.Nat `candid:"custom_sections_size"`
	CanisterHistorySize candid.Nat `candid:"canister_history_size"`
	WasmChunkStoreSize  candid.Nat `candid:"wasm_chunk_store_size"`
	SnapshotsSize       candid.Nat `candid:"snapshots_size"`
}

// CanisterStatusType says whether a canister runs.
type CanisterStatusType struct {
	candid.Variant
	Stopped  *candid.Null `candid:"stopped"`
	Stopping *candid.Null `candid:"stopping"`
	Running  *candid.Null `candid:"running"`
}

// CanisterStatus is the answer of the management canister's canister_status.
type CanisterStatus struct {
	Status                 CanisterStatusType `candid:"status"`
	ReadyForMigration      bool               `candid:"ready_for_migration"`
	Version                uint64             `candid:"version"`
	MemorySize             candid.Nat         `candid:"memory_size"`
	Cycles                 candid.Nat         `candid:"cycles"`
	Settings               CanisterSettings   `candid:"settings"`
	IdleCyclesBurnedPerDay candid.Nat         `candid:"idle_cycles_burned_per_day"`
	ModuleHash             *[]byte            `candid:"module_hash"`
	QueryStats             QueryStats         `candid:"query_stats"`
	ReservedCycles         candid.Nat         `candid:"reserved_cycles"`
	MemoryMetrics          MemoryMetrics      `candid:"memory_metrics"`
}

// CanisterStatus asks the subnet for the status of a canister, which must be this one or be controlled by it.
func (c *Canister) CanisterStatus(id principal.Principal, done func(CanisterStatus, error)) {
	type canister struct {
		CanisterID principal.Principal `candid:"canister_id"`
	}
	Then(c.Call(principal.Management, "canister_status", canister{id}), done)
}
