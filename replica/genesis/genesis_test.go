package genesis

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"fusion/chainkey"
	"fusion/ic/principal"
)

func sample(n int) *Doc {
	d := &Doc{Version: Version, ChainID: "fusion-test", Class: Local, TimeNs: 1, Keys: []chainkey.KeyID{{Algorithm: chainkey.EcdsaSecp256k1, Name: "dfx_test_key"}},
		Bitcoin:        &Bitcoin{Network: "regtest", StabilityThreshold: 6},
		Ethereum:       &Ethereum{ChainID: AnvilChainID},
		CanisterRanges: []Range{{principal.FromUint64(0), principal.FromUint64(99)}, {principal.FromUint64(200), principal.FromUint64(200)}},
		BlockMaxBytes:  5 << 20, DKGPhaseBlocks: 10, SigningDeadlineBlocks: 60, KeygenDeadlineBlocks: 600, SigningParallel: 2}
	for i := range n {
		key := func(kind byte) Hex { k := make(Hex, 32); k[0], k[1] = byte(i), kind; return k }
		d.Nodes = append(d.Nodes, Node{key(1), key(2)})
	}
	return d
}

// public makes a document that of a public network.
func public(d *Doc) {
	d.Class, d.Bitcoin, d.Ethereum = Public, nil, nil
	d.Governance = &Governance{TimeLockSeconds: MinTimeLock, ProposalSeconds: 7 * 24 * 3600}
	for i := range uint64(4) {
		d.Governance.Operators = append(d.Governance.Operators, principal.SelfAuthenticating([]byte{byte(i)}))
	}
}

func TestSaveAndLoad(t *testing.T) {
	d := sample(4)
	path := filepath.Join(t.TempDir(), "genesis.json")
	if err := d.Save(path); err != nil {
		t.Fatal(err)
	}
	e, err := Load(path)
	if err != nil || e.Hash() != d.Hash() || e.F() != 1 || e.Quorum() != 3 {
		t.Fatalf("%+v, %v", e, err)
	}
	if err := d.Save(path); err == nil {
		t.Error("an existing genesis was overwritten")
	}
	e.TimeNs++
	if e.Hash() == d.Hash() {
		t.Error("two networks have one hash")
	}
	if !d.OwnsCanister(principal.FromUint64(200)) || d.OwnsCanister(principal.FromUint64(100)) {
		t.Error("canister ranges")
	}
}

// idkg makes a document that has its first key shared by the robust scheme.
func idkg(d *Doc) {
	d.Schemes, d.Presignatures = map[chainkey.KeyID]string{d.Keys[0]: Idkg}, 4096
}

func TestValidateNamesTheField(t *testing.T) {
	for want, change := range map[string]func(*Doc){
		"version":        func(d *Doc) { d.Version = 9 },
		"chain_id":       func(d *Doc) { d.ChainID = "a b" },
		"class":          func(d *Doc) { d.Class = "prod" },
		"nodes, want 1":  func(d *Doc) { d.Nodes = d.Nodes[:3] },
		"node_key has 3": func(d *Doc) { d.Nodes[2].NodeKey = d.Nodes[2].NodeKey[:3] },
		"is also":        func(d *Doc) { d.Nodes[2].NodeKey = d.Nodes[1].ValidatorKey },
		"keys: \"ed25519:a": func(d *Doc) {
			d.Keys = []chainkey.KeyID{{Algorithm: chainkey.Ed25519, Name: "a"}, {Algorithm: chainkey.Ed25519, Name: "a"}}
		},
		"canister_ranges":                  func(d *Doc) { d.CanisterRanges[1].First = principal.FromUint64(5) },
		"block_max_bytes":                  func(d *Doc) { d.BlockMaxBytes = 1 << 20 },
		"positive":                         func(d *Doc) { d.Ethereum = &Ethereum{} },
		"ethereum.chain_id is 1: a local":  func(d *Doc) { d.Ethereum = &Ethereum{ChainID: 1} },
		"ethereum.chain_id is 1337, a dev": func(d *Doc) { public(d); d.Ethereum = &Ethereum{ChainID: GethChainID} },
		"only follow":                      func(d *Doc) { d.Bitcoin.Network = "mainnet" },
		"bitcoin.snapshot: block":          func(d *Doc) { d.Bitcoin.Snapshot = &BitcoinSnapshot{Block: "12"} },
		"bitcoin.snapshot: UTXO": func(d *Doc) {
			zeros := strings.Repeat("0", 64)
			public(d)
			d.Bitcoin = &Bitcoin{Network: "mainnet", StabilityThreshold: 144, Snapshot: &BitcoinSnapshot{Height: 840_000, Block: zeros, Hash: zeros}}
		},
		"at least 4":                           func(d *Doc) { d.Class = Public; d.Nodes = d.Nodes[:1] },
		"signing_para":                         func(d *Doc) { d.SigningParallel = 0 },
		"presignatures is 5, want":             func(d *Doc) { d.Presignatures = 5 },
		"presignatures is 4097":                func(d *Doc) { idkg(d); d.Presignatures = 4097 },
		"presignatures is -1":                  func(d *Doc) { idkg(d); d.Presignatures = -1 },
		"schemes: \"frost\"":                   func(d *Doc) { d.Schemes = map[chainkey.KeyID]string{d.Keys[0]: "frost"} },
		"schemes: \"idkg\" for \"ed25519:none": func(d *Doc) { d.Schemes = map[chainkey.KeyID]string{{Algorithm: chainkey.Ed25519, Name: "none"}: Idkg} },
		"subnet_admins[1": func(d *Doc) {
			d.SubnetAdmins = []principal.Principal{principal.FromUint64(1), principal.FromUint64(1)}
		},
		"subnet_admins[0": func(d *Doc) { d.SubnetAdmins = []principal.Principal{principal.Anonymous} },
		"custodial[0":     func(d *Doc) { d.Custodial = []principal.Principal{principal.Anonymous} },
		"custodial[1": func(d *Doc) {
			d.Custodial = []principal.Principal{d.CanisterRanges[0].First, d.CanisterRanges[0].First}
		},
		"governance is missing":            func(d *Doc) { public(d); d.Governance = nil },
		"2 operators, want 3":              func(d *Doc) { public(d); d.Governance.Operators = d.Governance.Operators[:2] },
		"0 operators, want 1":              func(d *Doc) { d.Governance = &Governance{ProposalSeconds: 60} },
		"41 operators":                     func(d *Doc) { public(d); d.Governance.Operators = make([]principal.Principal, 41) },
		"operators[1] (aaaaa-aa)":          func(d *Doc) { public(d); d.Governance.Operators[1] = principal.Management },
		"operators[3]":                     func(d *Doc) { public(d); d.Governance.Operators[3] = d.Governance.Operators[0] },
		"time_lock_seconds is 3599":        func(d *Doc) { public(d); d.Governance.TimeLockSeconds-- },
		"time_lock_seconds is 18446744073": func(d *Doc) { public(d); d.Governance.TimeLockSeconds = 1<<64 - 1 },
		"proposal_seconds is 3659":         func(d *Doc) { public(d); d.Governance.ProposalSeconds = MinTimeLock + 59 },
		"proposal_seconds is 18446744073":  func(d *Doc) { public(d); d.Governance.ProposalSeconds = 1<<64 - 1 },
		"must be in canister_ranges":       func(d *Doc) { public(d); d.CanisterRanges[0].First = principal.FromUint64(4) },
		"and not custodial":                func(d *Doc) { public(d); d.Custodial = []principal.Principal{RootCanister} },
		"65 custodial":                     func(d *Doc) { d.Custodial = make([]principal.Principal, 65) },
		"11 subnet_admins": func(d *Doc) {
			for i := range uint64(11) {
				d.SubnetAdmins = append(d.SubnetAdmins, principal.FromUint64(i))
			}
		},
	} {
		d := sample(4)
		change(d)
		if err := d.Validate(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("want a refusal with %q, got %v", want, err)
		}
	}
	d := sample(4)
	if public(d); d.Validate() != nil {
		t.Error(d.Validate())
	}
	d = sample(4) // a local network may have one key, and no time lock
	d.Governance = &Governance{Operators: []principal.Principal{principal.SelfAuthenticating(nil)}, ProposalSeconds: 60}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
	d = sample(4)
	if idkg(d); d.Validate() != nil {
		t.Error(d.Validate())
	}
	for _, n := range []int{1, 4, 5, 6, 7, MaxNodes} {
		if err := sample(n).Validate(); err != nil {
			t.Error(err)
		}
	}
	if err := sample(MaxNodes + 1).Validate(); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := Parse(b); err == nil && d.Validate() != nil {
			t.Fatal("an invalid document was accepted")
		}
	})
}
