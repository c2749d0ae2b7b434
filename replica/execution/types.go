package execution

import (
	"fmt"
	"log/slog"
	"runtime"

	"fusion/chainkey"
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/execution/wasm"
)

// Reject codes of the interface specification, section "Reject codes".
const (
	SysFatal           = 1
	SysTransient       = 2
	DestinationInvalid = 3
	CanisterReject     = 4
	CanisterError      = 5
	SysUnknown         = 6
)

// Reject is a call that ended without a reply.
type Reject struct {
	_       struct{} `cbor:",toarray"`
	Code    int      // 1 to 6, see the constants
	Message string
	Error   string // machine-readable error code such as "IC0301"; may be empty
}

func (r *Reject) String() string {
	if r.Error == "" {
		return fmt.Sprintf("reject code %d: %s", r.Code, r.Message)
	}
	return fmt.Sprintf("reject code %d, %s: %s", r.Code, r.Error, r.Message)
}

// errorCode is one of the public error codes; its hundreds digit is the reject code it comes with.
type errorCode int

// Error codes, from the public list of the Internet Computer's error types; the wire form is "IC0" and three digits.
const (
	errOversubscribed         errorCode = 101
	errSubnetFull             errorCode = 102
	errQueueFull              errorCode = 201
	errIngressTimeout         errorCode = 202
	errCanisterIDExists       errorCode = 205
	errStopTimeout            errorCode = 206
	errOutOfCycles            errorCode = 207
	errHeapDelta              errorCode = 210
	errCanisterNotFound       errorCode = 301
	errSnapshotNotFound       errorCode = 305
	errCreateCycles           errorCode = 403
	errSubnetNotFound         errorCode = 404
	errCanisterNotHosted      errorCode = 405
	errCanisterRejected       errorCode = 406
	errInvalidPayload         errorCode = 408
	errSnapshotImmutable      errorCode = 409
	errTrapped                errorCode = 502
	errCalledTrap             errorCode = 503
	errContractViolation      errorCode = 504
	errInvalidWasm            errorCode = 505
	errDidNotReply            errorCode = 506
	errOutOfMemory            errorCode = 507
	errStopped                errorCode = 508
	errStopping               errorCode = 509
	errNotStopped             errorCode = 510
	errStopCancelled          errorCode = 511
	errInvalidController      errorCode = 512
	errNonEmpty               errorCode = 514
	errQueryLoop              errorCode = 517
	errInsufficientCycles     errorCode = 520
	errEngine                 errorCode = 521
	errInstructionLimit       errorCode = 522
	errMemoryAccess           errorCode = 524
	errQueryTooDeep           errorCode = 525
	errQueryInstructions      errorCode = 526
	errCompositeInUpdate      errorCode = 527
	errQueryTime              errorCode = 528
	errComputeCycles          errorCode = 530
	errMemoryAllocationCycles errorCode = 531
	errMemoryGrowCycles       errorCode = 532
	errReservedLimit          errorCode = 533
	errReservedLimitGrow      errorCode = 534
	errMethodNotFound         errorCode = 536
	errModuleNotFound         errorCode = 537
	errWasmMemoryLimit        errorCode = 539
)

func reject(code errorCode, format string, args ...any) *Reject {
	return &Reject{Code: int(code) / 100, Message: fmt.Sprintf(format, args...), Error: fmt.Sprintf("IC0%03d", int(code))}
}

// Ingress is a user's update call in a block. Its signature was verified before it got there.
type Ingress struct {
	ID       [32]byte // request id
	Sender   principal.Principal
	Canister principal.Principal // the callee; principal.Management for management methods
	Method   string
	Arg      []byte
	ExpiryNs uint64
	Info     CallerInfo
}

// CallerInfo is the sender_info of a user's request, which the sender signed with a canister signature: Data is what the canister Signer vouches
// for. A request without it has the zero value, and so does a call of a canister.
type CallerInfo struct {
	_      struct{} `cbor:",toarray"`
	Data   []byte
	Signer []byte // a principal, or empty
}

// ChainKey is a master key of the subnet that is active.
type ChainKey struct {
	ID        chainkey.KeyID
	PublicKey []byte   // as chainkey.Algorithm encodes it
	ChainCode [32]byte // of a key that signs
}

// Round is the input of one block.
type Round struct {
	Height    uint64
	TimeNs    uint64
	Ingress   []Ingress
	Responses []SystemResponse
	Keys      []ChainKey
	Nodes     []NodeBlocks // what the block tells of the nodes, each once
	// NodeCount is the subnet's size from this round on; 0 leaves it as it is.
	NodeCount int
}

// SystemCallKind says who answers a SystemCall.
type SystemCallKind uint8

// The kinds of system calls.
const (
	Sign    SystemCallKind = 1 // a threshold signature
	RawRand SystemCallKind = 2 // 32 bytes of the random beacon, of a later height than the request's
	Outcall SystemCallKind = 3 // an HTTPS outcall
	Derive  SystemCallKind = 4 // an encrypted key
	Asking  SystemCallKind = 5 // a question of a canister that is implemented in Go
)

func (k SystemCallKind) String() string {
	switch k {
	case Sign:
		return "a signature request"
	case RawRand:
		return "raw_rand"
	case Outcall:
		return "http_request"
	case Derive:
		return "vetkd_derive_key"
	case Asking:
		return "a question"
	}
	return fmt.Sprintf("system call %d", uint8(k))
}

// SignRequest asks for a signature under the caller's derived key.
type SignRequest struct {
	_       struct{} `cbor:",toarray"`
	Key     chainkey.KeyID
	Path    [][]byte // without the caller's principal, which comes first in the derivation
	Message chainkey.Message
}

// DeriveRequest asks for a key that is derived for the caller, encrypted to a transport key.
type DeriveRequest struct {
	_         struct{} `cbor:",toarray"`
	Key       string
	Context   []byte
	Input     []byte
	Transport []byte
}

// SystemCall is a request that only the subnet as a whole can answer. It stays open until a SystemResponse with its id
// arrives in a later Round.
type SystemCall struct {
	ID     uint64
	Caller principal.Principal
	Kind   SystemCallKind
	Sign   *SignRequest // for Sign
	HTTP   *HTTPRequest // for Outcall
	Derive *DeriveRequest
	Ask    *Ask // for Asking; Caller is who called the canister that asks
}

// SystemResponse answers a SystemCall: with Signature (64 bytes), with Random (32 bytes), with Reply (the Candid of an
// outcall's response, or the answer to a question), with EncryptedKey (192 bytes), or, when RejectCode is not zero, with a rejection. A response whose id is not open is ignored.
type SystemResponse struct {
	ID            uint64
	Signature     []byte
	Random        []byte
	Reply         []byte
	EncryptedKey  []byte
	RejectCode    int
	RejectMessage string
	// NotTaken says that the subnet did not begin with the call: its fee goes back with the rejection.
	NotTaken bool
}

// RoundResult says what a round did beside changing the store.
type RoundResult struct {
	SystemCalls      []SystemCall // opened in this round
	IngressAccepted  int          // taken into a queue
	IngressDone      int          // reached a terminal state
	Messages         int          // messages, tasks and callbacks executed
	Traps            int
	InstructionsUsed uint64
	Backlog          int // messages left in queues
	HeapPages        int // heap pages of 4 KiB written to the store
	StablePages      int // stable memory pages of 4 KiB written to the store
}

// Config is what an Executor needs beside its store. All replicas of a subnet must use equal values of the fields that are
// not marked local.
type Config struct {
	Engine  *wasm.Engine // local; made with HostFunctions
	Subnet  principal.Principal
	RootKey []byte // DER; may be set later with SetRootKey, before the first Round
	// Natives are canisters implemented in Go, by id.
	Natives map[principal.Principal]Native
	// Bitcoin are the ids of the Bitcoin canisters by the name of their network (mainnet, testnet, regtest), for the management canister's
	// methods; those that are not among Natives are not there.
	Bitcoin map[string]principal.Principal
	// Admins are the subnet admins. On a subnet that has any, creating a canister costs nothing.
	Admins []principal.Principal
	// Custodial are canisters that hold or account for users' coins, see custody.go.
	Custodial []principal.Principal
	// Recovery is the number of the last recovery of the subnet from a backup, 0 before the first. Custodial canisters see it as RecoveryVariable.
	Recovery uint64
	// Root is the native canister that alone changes custodial canisters; the zero value says that their controllers do.
	Root principal.Principal
	// Local allows the provisional methods. Set it for networks of class "local" only.
	Local bool
	// NodeCount scales prices; a Round may change it. The default is 13, the size the price table is made for.
	NodeCount int
	// FirstCanister numbers the canisters that get an id of the subnet's choice: principal.FromUint64(FirstCanister), the
	// next, and so on.
	FirstCanister uint64
	// Ranges are the inclusive canister ranges of the subnet, which bound specified ids. The default is no bound.
	Ranges [][2]principal.Principal
	// RoundInstructions is the budget of a round. The default is 2 G.
	RoundInstructions uint64
	// SliceInstructions is the least that a message gets before it has to stand still until its canister's next turn. The default is 50 M.
	SliceInstructions uint64
	// Threads is the number of canisters that run at the same time (local). The default is the number of processors. Results do not depend on it.
	Threads int
	// QueryThreads is the number of users' queries that run at the same time, half of them at most on one canister (local). The default is four
	// for each processor: more would only take memory.
	QueryThreads int
	// MessageInstructions bounds one update message, task or callback. The default is 40 G.
	MessageInstructions uint64
	// QueryInstructions bounds a query with everything it calls. The default is 5 G.
	QueryInstructions uint64
	// InstallInstructions bounds the steps of an installation together. The default is 300 G.
	InstallInstructions uint64
	// InspectInstructions bounds canister_inspect_message. The default is 200 M.
	InspectInstructions uint64
	// MaxHeapBytes bounds the heap of a canister: growing beyond it fails. The default is 1 GiB; the Internet Computer allows 4. A message may
	// touch all of it, and that is real memory of every replica.
	MaxHeapBytes uint64
	// MemoryCapacity bounds what canisters hold together, or have allocated. The default is 2 TiB; disks must have it.
	MemoryCapacity uint64
	// MemoryThreshold is from where on growing costs reserved cycles. The default is 750 GiB.
	MemoryThreshold uint64
	// MessageMemory bounds what messages hold together, with room for the responses that must be delivered. The default is 4 GiB.
	MessageMemory uint64
	// MaxCanisters is the default 100,000.
	MaxCanisters int
	// Reader reads the committed store for queries that run beside Round; it must be safe for that. The default is the store
	// given to New, which is right for kv.Mem and for any store that reads its own committed state.
	Reader kv.Reader
	// Log receives what canisters print, at debug level (local). The default is silence.
	Log *slog.Logger
}

const (
	maxQueue        = 500       // calls in flight from one canister to another (resource limits)
	maxIngressQueue = 10_000    // user messages waiting at one canister
	maxPayload      = 2 << 20   // replies and inter-canister payloads of replicated execution
	maxQueryReply   = 3 << 20   // replies of queries
	maxMethodName   = 20_000    // bytes of a method name in a call
	maxControllers  = 10        //
	maxHistory      = 20        // canister changes kept
	maxLogBytes     = 4096      // of a canister's log
	maxReject       = 8 << 10   // bytes of a trap or reject message we build
	cleanupShare    = 20        // a callback leaves one part in so many of its instructions to the cleanup callback
	maxCallTimeout  = 300       // seconds, of a best-effort call
	stopTimeoutNs   = 300 * 1e9 // stop_canister gives up after this
	retentionNs     = 300 * 1e9 // a terminal ingress status is kept at least so long
	maxIngressKept  = 300_000   // ingress statuses kept with their reply; older ones become "done"

	maxStablePages = 500 << 30 >> 16 // 500 GiB in 64 KiB pages
	wasmPage       = 1 << 16
	pageSize       = 4096 // unit in which heap and stable memory are stored

	// messageOverhead is charged to the round's budget, not to the canister, for each message: what starting, committing and
	// storing one costs beside its instructions.
	messageOverhead = 300_000
	pathWork        = 100_000   // of deriving one element of a path: some 50 µs
	vetkdWork       = 3_000_000 // of deriving a vetkd public key, or preparing a request: one to two milliseconds
)

func (c *Config) setDefaults(store kv.Store) {
	if c.NodeCount == 0 {
		c.NodeCount = priceNodes
	}
	set := func(v *uint64, def uint64) {
		if *v == 0 {
			*v = def
		}
	}
	set(&c.RoundInstructions, 2_000_000_000)
	set(&c.SliceInstructions, 50_000_000)
	set(&c.MessageInstructions, 40_000_000_000)
	set(&c.QueryInstructions, 5_000_000_000)
	set(&c.InstallInstructions, 300_000_000_000)
	set(&c.InspectInstructions, 200_000_000)
	set(&c.MaxHeapBytes, 1<<30)
	set(&c.MemoryCapacity, defaultMemoryCapacity)
	set(&c.MemoryThreshold, defaultMemoryThreshold)
	set(&c.MessageMemory, defaultMessageMemory)
	if c.Threads <= 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	if c.QueryThreads <= 0 {
		c.QueryThreads = 4 * runtime.GOMAXPROCS(0)
	}
	if c.MaxCanisters == 0 {
		c.MaxCanisters = 100_000
	}
	if c.Reader == nil {
		c.Reader = store
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}
