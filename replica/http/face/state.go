package face

import (
	"time"

	"fusion/ic/principal"
)

// State is what the pages show of a replica and its network. Everything in it is public; URLs of providers and addresses of peers are not.
type State struct {
	// What follows here is this replica's word.
	Network   string    `json:"network"`
	Class     string    `json:"class"`
	Node      int       `json:"node"`
	NodeID    string    `json:"node_id"`
	Healthy   bool      `json:"healthy"`
	Sentence  string    `json:"sentence"`
	Height    uint64    `json:"height"`
	BlockTime time.Time `json:"block_time"`
	PoolCalls int       `json:"pool_calls"`
	Outcalls  int       `json:"outcalls"` // open ones

	Certified *Certified `json:"certified,omitempty"` // nil before the first certificate
	Replicas  []Replica  `json:"replicas"`
	Change    string     `json:"change,omitempty"` // of the membership, in words
	Keys      []Key      `json:"keys"`
	// Open are requests for signatures and derived keys, a sentence each; Ceremonies what this replica takes and took part in, newest first.
	Open       []string   `json:"open"`
	Ceremonies []Ceremony `json:"ceremonies"`
	Bitcoin    *Bitcoin   `json:"bitcoin,omitempty"`
	Ethereum   *Ethereum  `json:"ethereum,omitempty"`

	// Set by the Face.
	Wallet    bool   `json:"wallet"`               // the page may hold a key
	WalletURL string `json:"wallet_url,omitempty"` // where it may, if elsewhere
}

// Certified is read from the newest state that has the subnet's signature.
type Certified struct {
	Height    uint64     `json:"height"`
	TimeNs    uint64     `json:"time_ns,string"`
	Subnet    string     `json:"subnet"`
	RootKey   string     `json:"root_key"` // DER, hexadecimal
	Canisters []Canister `json:"canisters"`
}

// Canister is one of the well-known canisters that the network has.
type Canister struct {
	Name   string `json:"name"`
	ID     string `json:"id"`
	Module string `json:"module,omitempty"` // SHA-256, hexadecimal
}

// Replica is a node of the network as this one sees it.
type Replica struct {
	Index     int    `json:"index"`
	ID        string `json:"id"`
	Role      string `json:"role"`
	Self      bool   `json:"self,omitempty"`
	Connected bool   `json:"connected"`
	Signed    uint64 `json:"signed"` // the newest block whose state it is known to have signed
	Standing  string `json:"standing,omitempty"`
	Trouble   bool   `json:"trouble,omitempty"` // the standing is nothing to be proud of
}

// Key is a threshold key.
type Key struct {
	ID     string `json:"id"`
	Active bool   `json:"active"`
	Public string `json:"public,omitempty"`
	State  string `json:"state"`
}

// Ceremony is this replica's part in a ceremony of a threshold key.
type Ceremony struct {
	Number    uint64    `json:"number"` // counts from the replica's start
	Kind      string    `json:"kind"`
	Key       string    `json:"key"`
	Request   uint64    `json:"request,omitempty"`
	Attempt   uint32    `json:"attempt"`
	Committee []uint32  `json:"committee"`
	Began     time.Time `json:"began"`
	Seconds   float64   `json:"seconds,omitempty"` // when it has ended
	Outcome   string    `json:"outcome,omitempty"` // "" while it runs
}

// Bitcoin is where the subnet's view of the chain stands.
type Bitcoin struct {
	Network string `json:"network"`
	Tip     uint32 `json:"tip"`
	TipHash string `json:"tip_hash"`
	Final   uint32 `json:"final"`
	Headers uint32 `json:"headers"`
	Synced  bool   `json:"synced"`
	Peers   int    `json:"peers"`
	Trouble string `json:"trouble,omitempty"`
}

// Ethereum is where this replica's view of the chain stands.
type Ethereum struct {
	ChainID   uint64     `json:"chain_id"`
	Latest    uint64     `json:"latest"`
	Final     uint64     `json:"final"`
	Healthy   bool       `json:"healthy"`
	Sentence  string     `json:"sentence"`
	Operators []Operator `json:"operators"`
}

// Operator runs a provider of Ethereum data.
type Operator struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

// WellKnown are the canisters that the pages know by name, under the ids that they have on the Internet Computer ("Chain-key canister
// IDs" in its developer documentation) and on local networks.
var WellKnown = []struct {
	Name string
	ID   principal.Principal
}{
	{"ckbtc_minter", principal.MustParse("mqygn-kiaaa-aaaar-qaadq-cai")},
	{"ckbtc_ledger", principal.MustParse("mxzaz-hqaaa-aaaar-qaada-cai")},
	{"ckbtc_index", principal.MustParse("n5wcd-faaaa-aaaar-qaaea-cai")},
	{"btc_checker", principal.MustParse("oltsj-fqaaa-aaaar-qal5q-cai")},
	{"cketh_minter", principal.MustParse("sv3dd-oaaaa-aaaar-qacoa-cai")},
	{"cketh_ledger", principal.MustParse("ss2fx-dyaaa-aaaar-qacoq-cai")},
	{"cketh_index", principal.MustParse("s3zol-vqaaa-aaaar-qacpa-cai")},
	{"orchestrator", principal.MustParse("vxkom-oyaaa-aaaar-qafda-cai")},
}
