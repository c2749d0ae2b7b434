package execution

import (
	"crypto/sha256"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	blst "github.com/supranational/blst/bindings/go"

	"fusion/chainkey"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

// stage is a fresh canister to call a method about.
type stage struct {
	*world
	proxy  principal.Principal // the canister that calls; it, alice and bob control id
	id     principal.Principal
	module []byte
}

func (s *stage) snapshot() []byte { return s.take(s.id, nil).ID }

func (s *stage) uploaded() []byte {
	var up management.SnapshotID
	s.decode(s.mustManage("upload_canister_snapshot_metadata", management.UploadSnapshotMetadataArgs{CanisterID: s.id, WasmModuleSize: 8}), &up)
	return up.SnapshotID
}

// succeeding are arguments with which a call succeeds if its caller is allowed to make it.
var succeeding = map[string]func(s *stage) any{
	"create_canister": func(s *stage) any { return management.CreateCanisterArgs{} },
	"update_settings": func(s *stage) any { return management.UpdateSettingsArgs{CanisterID: s.id} },
	"upload_chunk":    func(s *stage) any { return management.UploadChunkArgs{CanisterID: s.id, Chunk: []byte("chunk")} },
	"install_code": func(s *stage) any {
		return installArgs(s.id, management.ModeReinstall(), s.module, nil)
	},
	"install_chunked_code": func(s *stage) any {
		s.mustManage("upload_chunk", management.UploadChunkArgs{CanisterID: s.id, Chunk: s.module})
		sum := sha256.Sum256(s.module)
		return management.InstallChunkedCodeArgs{Mode: management.ModeReinstall(), TargetCanister: s.id, ChunkHashesList: []management.ChunkHash{{Hash: sum[:]}},
			WasmModuleHash: sum[:]}
	},
	"uninstall_code": func(s *stage) any { return management.UninstallCodeArgs{CanisterID: s.id} },
	"delete_canister": func(s *stage) any {
		s.mustManage("stop_canister", idArg(s.id))
		return idArg(s.id)
	},
	"raw_rand":          func(s *stage) any { return nil },
	"list_canisters":    func(s *stage) any { return nil },
	"http_request":      func(s *stage) any { return getArgs(nil) },
	"canister_info":     func(s *stage) any { return management.CanisterInfoArgs{CanisterID: s.id} },
	"canister_metadata": func(s *stage) any { return management.CanisterMetadataArgs{CanisterID: s.id, Name: "made"} },
	"ecdsa_public_key":  func(s *stage) any { return management.EcdsaPublicKeyArgs{KeyID: ecdsaKeyID} },
	"sign_with_ecdsa": func(s *stage) any {
		return management.SignWithEcdsaArgs{MessageHash: make([]byte, 32), KeyID: ecdsaKeyID}
	},
	"schnorr_public_key": func(s *stage) any { return management.SchnorrPublicKeyArgs{KeyID: schnorrKeyID} },
	"sign_with_schnorr": func(s *stage) any {
		return management.SignWithSchnorrArgs{Message: make([]byte, 100), KeyID: schnorrKeyID}
	},
	"vetkd_public_key": func(s *stage) any { return management.VetKDPublicKeyArgs{KeyID: vetkdKeyID} },
	"vetkd_derive_key": func(s *stage) any {
		return management.VetKDDeriveKeyArgs{TransportPublicKey: blst.P1Generator().ToAffine().Compress(), KeyID: vetkdKeyID}
	},
	"bitcoin_get_balance":                 bitcoinArgs,
	"bitcoin_get_utxos":                   bitcoinArgs,
	"bitcoin_send_transaction":            bitcoinArgs,
	"bitcoin_get_current_fee_percentiles": bitcoinArgs,
	"bitcoin_get_block_headers":           bitcoinArgs,
	"node_metrics_history":                func(s *stage) any { return management.NodeMetricsHistoryArgs{SubnetID: s.cfg.Subnet} },
	"subnet_info":                         func(s *stage) any { return management.SubnetInfoArgs{SubnetID: s.cfg.Subnet} },
	"provisional_create_canister_with_cycles": func(s *stage) any {
		return management.ProvisionalCreateArgs{}
	},
	"provisional_top_up_canister": func(s *stage) any { return management.ProvisionalTopUpArgs{CanisterID: s.id} },
	"take_canister_snapshot":      func(s *stage) any { return management.TakeSnapshotArgs{CanisterID: s.id} },
	"load_canister_snapshot": func(s *stage) any {
		return management.LoadSnapshotArgs{CanisterID: s.id, SnapshotID: s.snapshot()}
	},
	"read_canister_snapshot_metadata": snapshotArgs,
	"delete_canister_snapshot":        snapshotArgs,
	"read_canister_snapshot_data": func(s *stage) any {
		return management.ReadSnapshotDataArgs{CanisterID: s.id, SnapshotID: s.snapshot(), Kind: management.SnapshotData{WasmModule: &management.Slice{Size: 8}}}
	},
	"upload_canister_snapshot_metadata": func(s *stage) any {
		return management.UploadSnapshotMetadataArgs{CanisterID: s.id, WasmModuleSize: 8}
	},
	"upload_canister_snapshot_data": func(s *stage) any {
		return management.UploadSnapshotDataArgs{CanisterID: s.id, SnapshotID: s.uploaded(), Kind: management.SnapshotTarget{WasmModule: &management.Offset{}}, Chunk: make([]byte, 8)}
	},
}

func bitcoinArgs(*stage) any {
	return management.BitcoinArgs{Network: management.BitcoinNetwork{Testnet: candid.Unit}}
}

func snapshotArgs(s *stage) any {
	return management.SnapshotArgs{CanisterID: s.id, SnapshotID: s.snapshot()}
}

var (
	ecdsaKeyID   = management.EcdsaKeyID{Curve: management.EcdsaCurve{Secp256k1: candid.Unit}, Name: "key"}
	schnorrKeyID = management.SchnorrKeyID{Algorithm: management.SchnorrAlgorithm{Bip340Secp256k1: candid.Unit}, Name: "key"}
	vetkdKeyID   = management.VetKDKeyID{Curve: management.VetKDCurve{Bls12381G2: candid.Unit}, Name: "key"}
)

// accepting is a Bitcoin canister that takes every call.
type accepting struct{}

func (accepting) Call(NativeCall) NativeResult { return NativeResult{Reply: emptyCandid} }

// answers plays the subnet: whatever is asked gets an answer of the right size.
func answers(calls []SystemCall) (out []SystemResponse) {
	for _, c := range calls {
		out = append(out, SystemResponse{ID: c.ID, Signature: make([]byte, 64), Random: make([]byte, 32), EncryptedKey: make([]byte, 192),
			Reply: candid.MustMarshal(management.HTTPResponse{})})
	}
	return out
}

// coded gives a rejection that a canister saw its reject code as error code.
func coded(rej *Reject) *Reject {
	if rej != nil {
		rej.Error = strconv.Itoa(rej.Code)
	}
	return rej
}

// TestCallers makes every call of the interface in every way: those who may call get a reply, those who may not the documented rejection. The
// rules are the interface specification's, in package management's testdata.
func TestCallers(t *testing.T) {
	raw, err := os.ReadFile("../management/testdata/callers.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for _, local := range []bool{true, false} {
		w := newWorld(t, func(c *Config) {
			c.Admins, c.Natives = []principal.Principal{bob}, map[principal.Principal]Native{nativeID: accepting{}}
			c.Bitcoin = map[string]principal.Principal{"testnet": nativeID}
		})
		w.obey = true
		for _, a := range []chainkey.Algorithm{chainkey.EcdsaSecp256k1, chainkey.Bip340Secp256k1} {
			w.keys = append(w.keys, ChainKey{ID: chainkey.KeyID{Algorithm: a, Name: "key"}, PublicKey: []byte(generator)})
		}
		w.keys = append(w.keys, ChainKey{ID: chainkey.KeyID{Algorithm: chainkey.Bls12381G2, Name: "key"}, PublicKey: blst.P2Generator().ToAffine().Compress()})
		module := newModule().custom("icp:public made", "by hand").bytes()
		proxy, admin := w.install(proxy()), w.install(proxy())
		w.x.cfg.Admins = append(w.x.cfg.Admins, admin)
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			if f[0] == "#" {
				continue
			}
			method, rules := f[0], f[1:]
			if strings.HasPrefix(method, "provisional_") != (rules[0] == "local") {
				t.Fatalf("rules of %s: %v", method, rules)
			}
			if !local && rules[0] != "local" {
				continue // the class of the network makes no difference
			}
			args := succeeding[method]
			if args == nil {
				args = func(s *stage) any { return idArg(s.id) }
			}
			fresh := func() *stage {
				w.x.cfg.Local = true
				s := &stage{world: w, proxy: proxy, id: w.installBytes(module), module: module}
				w.mustManage("update_settings", management.UpdateSettingsArgs{CanisterID: s.id, Settings: management.Settings{Controllers: &[]principal.Principal{alice, bob, proxy, admin}}})
				return s
			}
			check := func(how, rule string, isAdmin bool, want []string, call func(s *stage, arg []byte) *Reject) {
				t.Helper()
				s := fresh()
				arg := encoded(args(s))
				w.x.cfg.Local = local
				rej := call(s, arg)
				allowed := rule == "yes" || rule == "admin" && isAdmin || rule == "local" && local
				switch {
				case allowed && rej != nil:
					t.Errorf("%s by %s: %v", method, how, rej)
				case !allowed && rej == nil:
					t.Errorf("%s by %s was carried out", method, how)
				case !allowed && !slices.Contains(want, rej.Error):
					t.Errorf("%s by %s: %v, want one of %v", method, how, rej, want)
				}
			}
			user := func(who principal.Principal) func(s *stage, arg []byte) *Reject {
				return func(s *stage, arg []byte) *Reject {
					early := w.x.InspectMessage(t.Context(), Ingress{Sender: who, Method: method, Arg: arg})
					_, rej := w.update(who, principal.Management, method, arg)
					if (early == nil) != (rej == nil) || early != nil && early.Code != rej.Code {
						t.Errorf("%s of a user: inspection says %v, the call %v", method, early, rej)
					}
					return rej
				}
			}
			check("a user", rules[0], false, []string{"IC0406"}, user(alice))
			check("a subnet admin", rules[0], true, []string{"IC0406"}, user(bob))
			// Canisters see reject codes only; theirs stand for the error codes here.
			check("a canister", rules[1], false, []string{"4"}, func(s *stage, arg []byte) *Reject {
				_, _, rej := w.through(proxy, method, 100_000_000_000, arg)
				return coded(rej)
			})
			query := func(who principal.Principal) func(s *stage, arg []byte) *Reject {
				return func(s *stage, arg []byte) *Reject {
					return w.x.Query(t.Context(), QueryRequest{Sender: who, Canister: principal.Management, Method: method, Arg: arg}).Reject
				}
			}
			none := []string{"IC0536"}
			if rules[2] == "admin" {
				none = []string{"IC0406"}
			}
			check("a user's query", rules[2], false, none, query(alice))
			check("a subnet admin's query", rules[2], true, none, query(bob))
			code := []string{"5"}
			if rules[3] == "admin" {
				code = []string{"4"}
			}
			check("a composite query", rules[3], false, code, func(s *stage, arg []byte) *Reject {
				_, rej := w.compose(proxy, method, arg)
				return coded(rej)
			})
			check("a subnet admin's composite query", rules[3], true, code, func(s *stage, arg []byte) *Reject {
				_, rej := w.compose(admin, method, arg)
				return coded(rej)
			})
		}
	}
}
