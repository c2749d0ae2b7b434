package management

import (
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Visibility is log_visibility, snapshot_visibility and status_visibility.
type Visibility struct {
	candid.Variant
	Controllers    *candid.Null           `candid:"controllers"`
	Public         *candid.Null           `candid:"public"`
	AllowedViewers *[]principal.Principal `candid:"allowed_viewers"`
}

// EnvironmentVariable is one setting that the canister can read.
type EnvironmentVariable struct {
	Name  string `candid:"name"`
	Value string `candid:"value"`
}

// Settings is canister_settings: what is not given is not changed.
type Settings struct {
	Controllers          *[]principal.Principal `candid:"controllers"`
	ComputeAllocation    *candid.Nat            `candid:"compute_allocation"`
	MemoryAllocation     *candid.Nat            `candid:"memory_allocation"`
	FreezingThreshold    *candid.Nat            `candid:"freezing_threshold"`
	ReservedCyclesLimit  *candid.Nat            `candid:"reserved_cycles_limit"`
	MinIncomingCycles    *candid.Nat            `candid:"minimum_incoming_canister_call_cycles"`
	LogVisibility        *Visibility            `candid:"log_visibility"`
	SnapshotVisibility   *Visibility            `candid:"snapshot_visibility"`
	StatusVisibility     *Visibility            `candid:"status_visibility"`
	WasmMemoryLimit      *candid.Nat            `candid:"wasm_memory_limit"`
	WasmMemoryThreshold  *candid.Nat            `candid:"wasm_memory_threshold"`
	EnvironmentVariables *[]EnvironmentVariable `candid:"environment_variables"`
}

// DefiniteSettings is definite_canister_settings.
type DefiniteSettings struct {
	Controllers          []principal.Principal `candid:"controllers"`
	ComputeAllocation    candid.Nat            `candid:"compute_allocation"`
	MemoryAllocation     candid.Nat            `candid:"memory_allocation"`
	FreezingThreshold    candid.Nat            `candid:"freezing_threshold"`
	ReservedCyclesLimit  candid.Nat            `candid:"reserved_cycles_limit"`
	MinIncomingCycles    candid.Nat            `candid:"minimum_incoming_canister_call_cycles"`
	LogVisibility        Visibility            `candid:"log_visibility"`
	SnapshotVisibility   Visibility            `candid:"snapshot_visibility"`
	StatusVisibility     Visibility            `candid:"status_visibility"`
	WasmMemoryLimit      candid.Nat            `candid:"wasm_memory_limit"`
	WasmMemoryThreshold  candid.Nat            `candid:"wasm_memory_threshold"`
	EnvironmentVariables []EnvironmentVariable `candid:"environment_variables"`
}

// CreateCanisterArgs is the argument of create_canister.
type CreateCanisterArgs struct {
	Settings              *Settings `candid:"settings"`
	SenderCanisterVersion *uint64   `candid:"sender_canister_version"`
}

// CanisterID is an argument or a result that only names a canister.
type CanisterID struct {
	CanisterID principal.Principal `candid:"canister_id"`
}

// ProvisionalCreateArgs is the argument of provisional_create_canister_with_cycles.
type ProvisionalCreateArgs struct {
	Amount                *candid.Nat          `candid:"amount"`
	Settings              *Settings            `candid:"settings"`
	SpecifiedID           *principal.Principal `candid:"specified_id"`
	SenderCanisterVersion *uint64              `candid:"sender_canister_version"`
}

// ProvisionalTopUpArgs is the argument of provisional_top_up_canister.
type ProvisionalTopUpArgs struct {
	CanisterID principal.Principal `candid:"canister_id"`
	Amount     candid.Nat          `candid:"amount"`
}

// UpdateSettingsArgs is the argument of update_settings.
type UpdateSettingsArgs struct {
	CanisterID            principal.Principal `candid:"canister_id"`
	Settings              Settings            `candid:"settings"`
	SenderCanisterVersion *uint64             `candid:"sender_canister_version"`
}

// Persistence is the wasm_memory_persistence option of an upgrade.
type Persistence struct {
	candid.Variant
	Keep    *candid.Null `candid:"keep"`
	Replace *candid.Null `candid:"replace"`
}

// UpgradeOptions are the options of an upgrade.
type UpgradeOptions struct {
	SkipPreUpgrade        *bool        `candid:"skip_pre_upgrade"`
	WasmMemoryPersistence *Persistence `candid:"wasm_memory_persistence"`
}

// InstallMode is canister_install_mode. Upgrade's payload is an opt record.
type InstallMode struct {
	candid.Variant
	Install   *candid.Null     `candid:"install"`
	Reinstall *candid.Null     `candid:"reinstall"`
	Upgrade   **UpgradeOptions `candid:"upgrade"`
}

// The modes of installation.
func ModeInstall() InstallMode   { return InstallMode{Install: candid.Unit} }
func ModeReinstall() InstallMode { return InstallMode{Reinstall: candid.Unit} }

// ModeUpgrade upgrades with options, which may be nil.
func ModeUpgrade(o *UpgradeOptions) InstallMode { return InstallMode{Upgrade: &o} }

// InstallCodeArgs is the argument of install_code.
type InstallCodeArgs struct {
	Mode                  InstallMode         `candid:"mode"`
	CanisterID            principal.Principal `candid:"canister_id"`
	WasmModule            []byte              `candid:"wasm_module"`
	Arg                   []byte              `candid:"arg"`
	SenderCanisterVersion *uint64             `candid:"sender_canister_version"`
}

// ChunkHash names a chunk.
type ChunkHash struct {
	Hash []byte `candid:"hash"`
}

// InstallChunkedCodeArgs is the argument of install_chunked_code.
type InstallChunkedCodeArgs struct {
	Mode                  InstallMode          `candid:"mode"`
	TargetCanister        principal.Principal  `candid:"target_canister"`
	StoreCanister         *principal.Principal `candid:"store_canister"`
	ChunkHashesList       []ChunkHash          `candid:"chunk_hashes_list"`
	WasmModuleHash        []byte               `candid:"wasm_module_hash"`
	Arg                   []byte               `candid:"arg"`
	SenderCanisterVersion *uint64              `candid:"sender_canister_version"`
}

// UploadChunkArgs is the argument of upload_chunk.
type UploadChunkArgs struct {
	CanisterID principal.Principal `candid:"canister_id"`
	Chunk      []byte              `candid:"chunk"`
}

// UninstallCodeArgs is the argument of uninstall_code.
type UninstallCodeArgs struct {
	CanisterID            principal.Principal `candid:"canister_id"`
	SenderCanisterVersion *uint64             `candid:"sender_canister_version"`
}

// Status is the run state of a canister.
type Status struct {
	candid.Variant
	Running  *candid.Null `candid:"running"`
	Stopping *candid.Null `candid:"stopping"`
	Stopped  *candid.Null `candid:"stopped"`
}

// MemoryMetrics is the break-down of a canister's memory, in bytes.
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

// QueryStats are totals over the queries of a canister.
type QueryStats struct {
	NumCalls             candid.Nat `candid:"num_calls_total"`
	NumInstructions      candid.Nat `candid:"num_instructions_total"`
	RequestPayloadBytes  candid.Nat `candid:"request_payload_bytes_total"`
	ResponsePayloadBytes candid.Nat `candid:"response_payload_bytes_total"`
}

// CanisterStatusResult is the result of canister_status.
type CanisterStatusResult struct {
	Status                 Status           `candid:"status"`
	ReadyForMigration      bool             `candid:"ready_for_migration"`
	Version                uint64           `candid:"version"`
	Settings               DefiniteSettings `candid:"settings"`
	ModuleHash             *[]byte          `candid:"module_hash"`
	MemorySize             candid.Nat       `candid:"memory_size"`
	MemoryMetrics          MemoryMetrics    `candid:"memory_metrics"`
	Cycles                 candid.Nat       `candid:"cycles"`
	ReservedCycles         candid.Nat       `candid:"reserved_cycles"`
	IdleCyclesBurnedPerDay candid.Nat       `candid:"idle_cycles_burned_per_day"`
	QueryStats             QueryStats       `candid:"query_stats"`
}

// CanisterInfoArgs is the argument of canister_info.
type CanisterInfoArgs struct {
	CanisterID          principal.Principal `candid:"canister_id"`
	NumRequestedChanges *uint64             `candid:"num_requested_changes"`
}

// FromUser and FromCanister say who made a change.
type FromUser struct {
	UserID principal.Principal `candid:"user_id"`
}

// FromCanister is the origin of a change that a canister made.
type FromCanister struct {
	CanisterID      principal.Principal `candid:"canister_id"`
	CanisterVersion *uint64             `candid:"canister_version"`
}

// ChangeOrigin is change_origin.
type ChangeOrigin struct {
	candid.Variant
	FromUser     *FromUser     `candid:"from_user"`
	FromCanister *FromCanister `candid:"from_canister"`
}

// DeployMode is the mode of a code_deployment in the history.
type DeployMode struct {
	candid.Variant
	Install   *candid.Null `candid:"install"`
	Reinstall *candid.Null `candid:"reinstall"`
	Upgrade   *candid.Null `candid:"upgrade"`
}

// Creation is the details of a canister's creation.
type Creation struct {
	Controllers []principal.Principal `candid:"controllers"`
	EnvHash     *[]byte               `candid:"environment_variables_hash"`
}

// Deployment is the details of a code deployment.
type Deployment struct {
	Mode       DeployMode `candid:"mode"`
	ModuleHash []byte     `candid:"module_hash"`
}

// ControllersChange is the details of a change of controllers.
type ControllersChange struct {
	Controllers []principal.Principal `candid:"controllers"`
}

// ChangeDetails is change_details. Canisters are not renamed here.
type ChangeDetails struct {
	candid.Variant
	Creation          *Creation          `candid:"creation"`
	CodeUninstall     *candid.Null       `candid:"code_uninstall"`
	CodeDeployment    *Deployment        `candid:"code_deployment"`
	LoadSnapshot      *LoadSnapshot      `candid:"load_snapshot"`
	ControllersChange *ControllersChange `candid:"controllers_change"`
	RenameCanister    *Rename            `candid:"rename_canister"`
}

// Change is an entry of a canister's history.
type Change struct {
	TimestampNanos  uint64        `candid:"timestamp_nanos"`
	CanisterVersion uint64        `candid:"canister_version"`
	Origin          ChangeOrigin  `candid:"origin"`
	Details         ChangeDetails `candid:"details"`
}

// CanisterInfoResult is the result of canister_info.
type CanisterInfoResult struct {
	TotalNumChanges uint64                `candid:"total_num_changes"`
	RecentChanges   []Change              `candid:"recent_changes"`
	ModuleHash      *[]byte               `candid:"module_hash"`
	Controllers     []principal.Principal `candid:"controllers"`
}

// CanisterMetadataArgs is the argument of canister_metadata.
type CanisterMetadataArgs struct {
	CanisterID principal.Principal `candid:"canister_id"`
	Name       string              `candid:"name"`
}

// CanisterMetadataResult is its result.
type CanisterMetadataResult struct {
	Value []byte `candid:"value"`
}

// EcdsaCurve is ecdsa_curve.
type EcdsaCurve struct {
	candid.Variant
	Secp256k1 *candid.Null `candid:"secp256k1"`
}

// EcdsaKeyID names a master key.
type EcdsaKeyID struct {
	Curve EcdsaCurve `candid:"curve"`
	Name  string     `candid:"name"`
}

// EcdsaPublicKeyArgs is the argument of ecdsa_public_key.
type EcdsaPublicKeyArgs struct {
	CanisterID     *principal.Principal `candid:"canister_id"`
	DerivationPath [][]byte             `candid:"derivation_path"`
	KeyID          EcdsaKeyID           `candid:"key_id"`
}

// PublicKeyResult is the result of ecdsa_public_key and schnorr_public_key: the key, SEC1 compressed or as RFC 8032 encodes it, and the chain code.
type PublicKeyResult struct {
	PublicKey []byte `candid:"public_key"`
	ChainCode []byte `candid:"chain_code"`
}

// SignWithEcdsaArgs is the argument of sign_with_ecdsa.
type SignWithEcdsaArgs struct {
	MessageHash    []byte     `candid:"message_hash"`
	DerivationPath [][]byte   `candid:"derivation_path"`
	KeyID          EcdsaKeyID `candid:"key_id"`
}

// SignatureResult is the result of sign_with_ecdsa, r‖s, and of sign_with_schnorr: 64 bytes.
type SignatureResult struct {
	Signature []byte `candid:"signature"`
}

// VetKDCurve is vetkd_curve.
type VetKDCurve struct {
	candid.Variant
	Bls12381G2 *candid.Null `candid:"bls12_381_g2"`
}

// VetKDKeyID names a master key.
type VetKDKeyID struct {
	Curve VetKDCurve `candid:"curve"`
	Name  string     `candid:"name"`
}

// VetKDPublicKeyArgs is the argument of vetkd_public_key.
type VetKDPublicKeyArgs struct {
	CanisterID *principal.Principal `candid:"canister_id"`
	Context    []byte               `candid:"context"`
	KeyID      VetKDKeyID           `candid:"key_id"`
}

// VetKDPublicKeyResult is its result: a point of G2, 96 bytes.
type VetKDPublicKeyResult struct {
	PublicKey []byte `candid:"public_key"`
}

// VetKDDeriveKeyArgs is the argument of vetkd_derive_key.
type VetKDDeriveKeyArgs struct {
	Input              []byte     `candid:"input"`
	Context            []byte     `candid:"context"`
	TransportPublicKey []byte     `candid:"transport_public_key"`
	KeyID              VetKDKeyID `candid:"key_id"`
}

// VetKDDeriveKeyResult is its result: two points of G1 around one of G2, 192 bytes.
type VetKDDeriveKeyResult struct {
	EncryptedKey []byte `candid:"encrypted_key"`
}

// SchnorrAlgorithm is schnorr_algorithm.
type SchnorrAlgorithm struct {
	candid.Variant
	Bip340Secp256k1 *candid.Null `candid:"bip340secp256k1"`
	Ed25519         *candid.Null `candid:"ed25519"`
}

// SchnorrKeyID names a master key.
type SchnorrKeyID struct {
	Algorithm SchnorrAlgorithm `candid:"algorithm"`
	Name      string           `candid:"name"`
}

// SchnorrPublicKeyArgs is the argument of schnorr_public_key.
type SchnorrPublicKeyArgs struct {
	CanisterID     *principal.Principal `candid:"canister_id"`
	DerivationPath [][]byte             `candid:"derivation_path"`
	KeyID          SchnorrKeyID         `candid:"key_id"`
}

// Bip341 says that the signature is to be of the taproot output key.
type Bip341 struct {
	MerkleRootHash []byte `candid:"merkle_root_hash"` // 32 bytes, or none for an output that is spent by key alone
}

// SchnorrAux is schnorr_aux.
type SchnorrAux struct {
	candid.Variant
	Bip341 *Bip341 `candid:"bip341"`
}

// SignWithSchnorrArgs is the argument of sign_with_schnorr.
type SignWithSchnorrArgs struct {
	Message        []byte       `candid:"message"`
	DerivationPath [][]byte     `candid:"derivation_path"`
	KeyID          SchnorrKeyID `candid:"key_id"`
	Aux            *SchnorrAux  `candid:"aux"`
}

// NodeMetricsHistoryArgs is the argument of node_metrics_history.
type NodeMetricsHistoryArgs struct {
	SubnetID              principal.Principal `candid:"subnet_id"`
	StartAtTimestampNanos uint64              `candid:"start_at_timestamp_nanos"`
}

// NodeMetrics is node_metrics: totals since the node began to appear in the samples.
type NodeMetrics struct {
	NodeID         principal.Principal `candid:"node_id"`
	BlocksProposed uint64              `candid:"num_blocks_proposed_total"`
	BlockFailures  uint64              `candid:"num_block_failures_total"`
}

// NodeMetricsSample is an entry of the result of node_metrics_history.
type NodeMetricsSample struct {
	TimestampNanos uint64        `candid:"timestamp_nanos"`
	NodeMetrics    []NodeMetrics `candid:"node_metrics"`
}

// CanisterIDRange is canister_id_range, inclusive.
type CanisterIDRange struct {
	Start principal.Principal `candid:"start"`
	End   principal.Principal `candid:"end"`
}

// ListCanistersResult is the result of list_canisters.
type ListCanistersResult struct {
	Canisters []CanisterIDRange `candid:"canisters"`
}

// BitcoinNetwork is bitcoin_network. Development networks follow regtest, which the Bitcoin canister knows and the interface does not.
type BitcoinNetwork struct {
	candid.Variant
	Mainnet *candid.Null `candid:"mainnet"`
	Testnet *candid.Null `candid:"testnet"`
	Regtest *candid.Null `candid:"regtest"`
}

// BitcoinArgs is the part that the arguments of all bitcoin_ methods share; the Bitcoin canister reads the rest.
type BitcoinArgs struct {
	Network BitcoinNetwork `candid:"network"`
}

// SubnetInfoArgs is the argument of subnet_info.
type SubnetInfoArgs struct {
	SubnetID principal.Principal `candid:"subnet_id"`
}

// SubnetInfoResult is its result.
type SubnetInfoResult struct {
	ReplicaVersion  string `candid:"replica_version"`
	RegistryVersion uint64 `candid:"registry_version"`
}

// LogRecord is a line of a canister's log.
type LogRecord struct {
	Index          uint64 `candid:"idx"`
	TimestampNanos uint64 `candid:"timestamp_nanos"`
	Content        []byte `candid:"content"`
}

// FetchLogsResult is the result of fetch_canister_logs.
type FetchLogsResult struct {
	Records []LogRecord `candid:"canister_log_records"`
}

// CyclesConsumed is cycles_consumed: totals since the canister was created, by what they were consumed for.
type CyclesConsumed struct {
	Memory            candid.Nat `candid:"memory"`
	ComputeAllocation candid.Nat `candid:"compute_allocation"`
	IngressInduction  candid.Nat `candid:"ingress_induction"`
	Instructions      candid.Nat `candid:"instructions"`
	Transmission      candid.Nat `candid:"request_and_response_transmission"`
	Uninstall         candid.Nat `candid:"uninstall"` // lost when the canister ran out of cycles
	CanisterCreation  candid.Nat `candid:"canister_creation"`
	HTTPOutcalls      candid.Nat `candid:"http_outcalls"`
	Burned            candid.Nat `candid:"burned_cycles"`
}

// CanisterMetricsResult is the result of canister_metrics.
type CanisterMetricsResult struct {
	CyclesConsumed CyclesConsumed `candid:"cycles_consumed"`
}

// Snapshot is an entry of the list of a canister's snapshots.
type Snapshot struct {
	ID        []byte `candid:"id"`
	TakenAt   uint64 `candid:"taken_at_timestamp"` // ns
	TotalSize uint64 `candid:"total_size"`         // bytes
}

// TakeSnapshotArgs is the argument of take_canister_snapshot.
type TakeSnapshotArgs struct {
	CanisterID            principal.Principal `candid:"canister_id"`
	ReplaceSnapshot       *[]byte             `candid:"replace_snapshot"`
	UninstallCode         *bool               `candid:"uninstall_code"`
	SenderCanisterVersion *uint64             `candid:"sender_canister_version"`
}

// LoadSnapshotArgs is the argument of load_canister_snapshot.
type LoadSnapshotArgs struct {
	CanisterID            principal.Principal `candid:"canister_id"`
	SnapshotID            []byte              `candid:"snapshot_id"`
	SenderCanisterVersion *uint64             `candid:"sender_canister_version"`
}

// SnapshotArgs names a snapshot of a canister.
type SnapshotArgs struct {
	CanisterID principal.Principal `candid:"canister_id"`
	SnapshotID []byte              `candid:"snapshot_id"`
}

// SnapshotSource says where a snapshot comes from.
type SnapshotSource struct {
	candid.Variant
	TakenFromCanister *candid.Reserved `candid:"taken_from_canister"`
	MetadataUpload    *candid.Reserved `candid:"metadata_upload"`
}

// Global is the value of a global of a module. A v128 is a number below 2^128, lane 0 in its lowest bits.
type Global struct {
	candid.Variant
	I32  *int32      `candid:"i32"`
	I64  *int64      `candid:"i64"`
	F32  *float32    `candid:"f32"`
	F64  *float64    `candid:"f64"`
	V128 *candid.Nat `candid:"v128"`
}

// GlobalTimer is the state of a canister's timer.
type GlobalTimer struct {
	candid.Variant
	Inactive *candid.Null `candid:"inactive"`
	Active   *uint64      `candid:"active"` // ns
}

// HookStatus is where canister_on_low_wasm_memory stands.
type HookStatus struct {
	candid.Variant
	NotSatisfied *candid.Null `candid:"condition_not_satisfied"`
	Ready        *candid.Null `candid:"ready"`
	Executed     *candid.Null `candid:"executed"`
}

// SnapshotMetadata is the result of read_canister_snapshot_metadata.
type SnapshotMetadata struct {
	Source           SnapshotSource `candid:"source"`
	TakenAt          uint64         `candid:"taken_at_timestamp"`
	WasmModuleSize   uint64         `candid:"wasm_module_size"`
	Globals          []Global       `candid:"globals"`
	WasmMemorySize   uint64         `candid:"wasm_memory_size"`
	StableMemorySize uint64         `candid:"stable_memory_size"`
	WasmChunkStore   []ChunkHash    `candid:"wasm_chunk_store"`
	CanisterVersion  uint64         `candid:"canister_version"`
	CertifiedData    []byte         `candid:"certified_data"`
	GlobalTimer      *GlobalTimer   `candid:"global_timer"`
	OnLowWasmMemory  *HookStatus    `candid:"on_low_wasm_memory_hook_status"`
}

// Slice is a piece of a snapshot's data.
type Slice struct {
	Offset uint64 `candid:"offset"`
	Size   uint64 `candid:"size"`
}

// SnapshotData says which data of a snapshot to read.
type SnapshotData struct {
	candid.Variant
	WasmModule   *Slice     `candid:"wasm_module"`
	WasmMemory   *Slice     `candid:"wasm_memory"`
	StableMemory *Slice     `candid:"stable_memory"`
	WasmChunk    *ChunkHash `candid:"wasm_chunk"`
}

// ReadSnapshotDataArgs is the argument of read_canister_snapshot_data.
type ReadSnapshotDataArgs struct {
	CanisterID principal.Principal `candid:"canister_id"`
	SnapshotID []byte              `candid:"snapshot_id"`
	Kind       SnapshotData        `candid:"kind"`
}

// SnapshotChunk is the result of read_canister_snapshot_data.
type SnapshotChunk struct {
	Chunk []byte `candid:"chunk"`
}

// UploadSnapshotMetadataArgs is the argument of upload_canister_snapshot_metadata.
type UploadSnapshotMetadataArgs struct {
	CanisterID       principal.Principal `candid:"canister_id"`
	ReplaceSnapshot  *[]byte             `candid:"replace_snapshot"`
	WasmModuleSize   uint64              `candid:"wasm_module_size"`
	Globals          []Global            `candid:"globals"`
	WasmMemorySize   uint64              `candid:"wasm_memory_size"`
	StableMemorySize uint64              `candid:"stable_memory_size"`
	CertifiedData    []byte              `candid:"certified_data"`
	GlobalTimer      *GlobalTimer        `candid:"global_timer"`
	OnLowWasmMemory  *HookStatus         `candid:"on_low_wasm_memory_hook_status"`
}

// SnapshotID is the result of upload_canister_snapshot_metadata.
type SnapshotID struct {
	SnapshotID []byte `candid:"snapshot_id"`
}

// Offset is where uploaded data goes.
type Offset struct {
	Offset uint64 `candid:"offset"`
}

// SnapshotTarget says what uploaded data is.
type SnapshotTarget struct {
	candid.Variant
	WasmModule   *Offset      `candid:"wasm_module"`
	WasmMemory   *Offset      `candid:"wasm_memory"`
	StableMemory *Offset      `candid:"stable_memory"`
	WasmChunk    *candid.Null `candid:"wasm_chunk"`
}

// UploadSnapshotDataArgs is the argument of upload_canister_snapshot_data.
type UploadSnapshotDataArgs struct {
	CanisterID principal.Principal `candid:"canister_id"`
	SnapshotID []byte              `candid:"snapshot_id"`
	Kind       SnapshotTarget      `candid:"kind"`
	Chunk      []byte              `candid:"chunk"`
}

// LoadSnapshot is the details of a snapshot that was loaded.
type LoadSnapshot struct {
	FromCanister    *principal.Principal `candid:"from_canister_id"`
	SnapshotID      []byte               `candid:"snapshot_id"`
	CanisterVersion uint64               `candid:"canister_version"`
	TakenAt         uint64               `candid:"taken_at_timestamp"`
	Source          SnapshotSource       `candid:"source"`
}

// RenameTo is the new name of a canister that was renamed.
type RenameTo struct {
	CanisterID      principal.Principal `candid:"canister_id"`
	Version         uint64              `candid:"version"`
	TotalNumChanges uint64              `candid:"total_num_changes"`
}

// Rename is the details of a renaming.
type Rename struct {
	CanisterID      principal.Principal `candid:"canister_id"`
	TotalNumChanges uint64              `candid:"total_num_changes"`
	RenameTo        RenameTo            `candid:"rename_to"`
	RequestedBy     principal.Principal `candid:"requested_by"`
}
