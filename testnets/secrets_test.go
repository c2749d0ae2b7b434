package testnets_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"fusion/chainkey/bls"
	"fusion/chainkey/frost"
	"fusion/chainkey/gg18"
	"fusion/chainkey/gg18/localparams"
	"fusion/chainkey/keystore"
	"fusion/chainkey/vetkd"
	"fusion/internal/codec"
	"fusion/replica"
	"fusion/replica/consensus"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// secretForms finds secrets in text, however they were printed.
type secretForms struct {
	windows map[[window]byte][]secretForm // by the beginning of the form
	bits    []uint64                      // which windows may be there: a filter by two bytes
}

type secretForm struct {
	name string
	text []byte // how it begins, lower case
}

// How much of a form must be found, in characters: as much as chance does not write. Sixteen are all of the shortest forms; in the longest, where six stand
// for a byte, it takes more.
const (
	window   = 16
	evidence = 48
)

func (s *secretForms) put(name, form string) {
	if len(form) < window {
		panic("a form is too short: " + name)
	}
	text := lower([]byte(form[:min(len(form), evidence)]))
	key := [window]byte(text)
	s.windows[key] = append(s.windows[key], secretForm{name, text})
	i := binary.LittleEndian.Uint16(key[:])
	s.bits[i/64] |= 1 << (i % 64)
}

// lower is for letters of ASCII alone, since what is no text has to stay as it is.
func lower(b []byte) []byte {
	b = bytes.Clone(b)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c - 'A' + 'a'
		}
	}
	return b
}

// add notes a secret in the forms that Go, JSON and our own code print.
func (s *secretForms) add(name string, secret []byte) {
	reversed := slices.Clone(secret)
	slices.Reverse(reversed)
	for order, b := range map[string][]byte{"": secret, ", reversed": reversed} {
		for half, part := range map[string][]byte{"": b[:16], ", its end": b[len(b)-16:]} {
			at := func(form string) string { return name + order + half + ", as " + form }
			s.put(at("bytes"), string(part))
			s.put(at("hexadecimal"), hex.EncodeToString(part))
			for shift := range 3 { // base64 begins at any byte of what it encodes
				s.put(at("base64"), base64.StdEncoding.EncodeToString(part[shift:shift+12]))
				s.put(at("base64url"), base64.URLEncoding.EncodeToString(part[shift:shift+12]))
			}
			list := func(sep, format string) string {
				var words []string
				for _, c := range part {
					words = append(words, fmt.Sprintf(format, c))
				}
				return strings.Join(words, sep)
			}
			s.put(at("list"), list(" ", "%d"))
			s.put(at("list with commas"), list(",", "%d"))
			s.put(at("list with commas and spaces"), list(", ", "%d"))
			s.put(at("Go syntax"), list(", ", "0x%x"))
			for _, format := range []string{"%d", "0x%x"} {
				for _, sep := range []string{" ", ",", ", "} {
					var w32, w64 []string
					for i := 0; i < 16; i += 4 {
						w32 = append(w32, fmt.Sprintf(format, binary.LittleEndian.Uint32(part[i:])))
					}
					for i := 0; i < 16; i += 8 {
						w64 = append(w64, fmt.Sprintf(format, binary.LittleEndian.Uint64(part[i:])))
					}
					s.put(at("32-bit words"), strings.Join(w32, sep))
					s.put(at("64-bit words"), strings.Join(w64, sep))
				}
			}
		}
		s.put(name+order+", as a number", new(big.Int).SetBytes(b).String())
	}
}

// find returns what is printed in a text.
func (s *secretForms) find(text []byte) (found []string) {
	text = lower(text)
	for i := 0; i+window <= len(text); i++ {
		j := binary.LittleEndian.Uint16(text[i:])
		if s.bits[j/64]&(1<<(j%64)) == 0 {
			continue
		}
		for _, f := range s.windows[[window]byte(text[i:])] {
			if bytes.HasPrefix(text[i:], f.text) && !slices.Contains(found, f.name) {
				found = append(found, f.name)
			}
		}
	}
	return found
}

// secretsOf reads all secrets of a network's replicas from their disks.
func secretsOf(t *testing.T, dir string, nodes int) *secretForms {
	t.Helper()
	forms := &secretForms{windows: map[[window]byte][]secretForm{}, bits: make([]uint64, 1<<10)}
	forms.read(t, dir, nodes)
	return forms
}

// read adds the secrets that are on the replicas' disks now. The replicas may run.
func (s *secretForms) read(t *testing.T, dir string, nodes int) {
	t.Helper()
	for node := range nodes {
		name := func(what string) string { return fmt.Sprintf("node %d's %s", node, what) }
		for _, file := range []string{"node_key", "validator_key"} {
			text := must(os.ReadFile(filepath.Join(testnets.NodeDir(dir, node), file)))(t)
			s.add(name(file), must(hex.DecodeString(strings.TrimSpace(string(text))))(t))
		}
		store := must(keystore.Open(keystore.Options{Dir: filepath.Join(testnets.NodeDir(dir, node), "keys"), AllowPlain: true, ReadOnly: true}))(t)
		for _, g := range must(store.Shares())(t) {
			scheme, blob, err := store.Share(g)
			check(t, err)
			share := name("share of " + g.String())
			switch scheme {
			case "bls":
				s.add(share, blob)
			case "frost":
				var v struct {
					_         struct{} `cbor:",toarray"`
					Version   uint8
					Algorithm string
					Threshold uint32
					Seat      uint32
					Public    []byte
					Members   [][]byte
					Secret    []byte
				}
				check(t, codec.Unmarshal(blob[32:], &v))
				s.add(share, v.Secret)
			case "solo":
				s.add(share, blob[32:])
			case "gg18":
				var v struct {
					_         struct{} `cbor:",toarray"`
					Version   uint8
					Threshold uint32
					Seat      uint32
					Params    []byte
					Secret    []byte
					Public    []byte
					Members   []any
				}
				check(t, codec.Unmarshal(blob[32:], &v))
				s.add(share, v.Secret)
				p := localparams.Decode(v.Params)
				for what, n := range map[string]*big.Int{"first Paillier prime": p.PaillierP, "second Paillier prime": p.PaillierQ, "first safe prime": p.P, "second safe prime": p.Q, "alpha": p.Alpha} {
					s.add(name(what), n.Bytes())
				}
			default:
				t.Fatalf("a share of scheme %q: this test must learn where its secret is", scheme)
			}
		}
		check(t, store.Close())
	}
}

// debugLog keeps a log of all levels.
type debugLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *debugLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *debugLog) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

func (l *debugLog) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// quiet are packages whose structures hold no secret and are large.
var quiet = []string{"fusion/replica/machine", "fusion/replica/execution", "fusion/replica/state", "fusion/replica/ingress", "fusion/replica/outcalls",
	"fusion/replica/http", "fusion/replica/payload", "fusion/internal", "fusion/btc", "fusion/adapters", "fusion/ic", "fusion/testnets"}

// printer prints every structure of ours that can be reached from a value, in all of Go's ways and as JSON, as if somebody had handed it to a logger.
type printer struct {
	seen  map[reflect.Type]map[unsafe.Pointer]bool
	types map[reflect.Type]bool
	visit func(t reflect.Type, text []byte)
}

func (p *printer) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && p.ours(v.Type().Elem()) {
			p.at(reflect.NewAt(v.Type().Elem(), v.UnsafePointer()).Elem())
		}
	case reflect.Interface:
		if !v.IsNil() {
			e := v.Elem()
			if e.Kind() == reflect.Struct { // not addressable: a copy is
				c := reflect.New(e.Type())
				if e.CanInterface() {
					c.Elem().Set(e)
					p.at(c.Elem())
				}
				return
			}
			p.walk(e)
		}
	case reflect.Struct:
		p.at(v)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if k := v.Type().Elem().Kind(); k != reflect.Struct && k != reflect.Pointer && k != reflect.Interface && k != reflect.Slice && k != reflect.Map {
				return
			}
			p.walk(v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			p.walk(it.Value())
		}
	}
}

func (p *printer) ours(t reflect.Type) bool {
	pkg := t.PkgPath()
	if pkg == "" && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.Array) {
		return p.ours(t.Elem())
	}
	if !strings.HasPrefix(pkg, "fusion/") && !strings.HasPrefix(pkg, "sync/atomic") && pkg != "" {
		return false
	}
	return !slices.ContainsFunc(quiet, func(q string) bool { return pkg == q || strings.HasPrefix(pkg, q+"/") })
}

// locks says whether a structure must not be copied.
func locks(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		if _, ok := reflect.PointerTo(t).MethodByName("Lock"); ok || strings.HasPrefix(t.PkgPath(), "sync") {
			return true
		}
		for i := range t.NumField() {
			if locks(t.Field(i).Type) {
				return true
			}
		}
	case reflect.Array:
		return locks(t.Elem())
	}
	return false
}

// at prints a structure that can be addressed, and goes on to its fields.
func (p *printer) at(v reflect.Value) {
	t := v.Type()
	if !v.CanAddr() || !p.ours(t) {
		return
	}
	at := unsafe.Pointer(v.UnsafeAddr())
	if p.seen[t] == nil {
		p.seen[t] = map[unsafe.Pointer]bool{}
	}
	if p.seen[t][at] {
		return
	}
	p.seen[t][at] = true
	if t.Kind() == reflect.Struct && strings.HasPrefix(t.PkgPath(), "fusion/") {
		pointer := reflect.NewAt(t, at)
		text := fmt.Appendf(nil, "%v\n%+v\n%#v\n", pointer.Interface(), pointer.Interface(), pointer.Interface())
		if !locks(t) { // what has a lock is not copied, and vet sees to that
			value := pointer.Elem().Interface()
			text = fmt.Appendf(text, "%v\n%+v\n%#v\n", value, value, value)
		}
		if b, err := json.Marshal(pointer.Interface()); err == nil {
			text = append(text, b...)
		}
		p.types[t] = true
		p.visit(t, text)
	}
	switch {
	case strings.HasPrefix(t.PkgPath(), "sync/atomic") && strings.HasPrefix(t.Name(), "Pointer["):
		p.walk(reflect.NewAt(t, at).MethodByName("Load").Call(nil)[0])
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			f := v.Field(i)
			p.walk(reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem())
		}
	default:
		p.walk(v)
	}
}

// TestNothingSecretIsPrinted looks for every replica's secrets in all that a network tells: the logs of key generation, signatures and a restart at
// the debug level, status, metrics, and the printed forms of its structures.
func TestNothingSecretIsPrinted(t *testing.T) {
	dir := golden.Clone(t)
	forms := secretsOf(t, dir, golden.Nodes)
	if len(forms.windows) < golden.Nodes*13*60 {
		t.Fatalf("only %d forms of secrets", len(forms.windows))
	}
	text := must(os.ReadFile(filepath.Join(testnets.NodeDir(dir, 2), "node_key")))(t)
	seed := must(hex.DecodeString(strings.TrimSpace(string(text))))(t)
	for _, sample := range []string{string(text), fmt.Sprint(seed), fmt.Sprintf("%#v", seed), new(big.Int).SetBytes(seed).String(), string(must(json.Marshal(seed))(t))} {
		if found := forms.find([]byte("x" + sample)); !slices.ContainsFunc(found, func(name string) bool { return strings.HasPrefix(name, "node 2's node_key") }) {
			t.Fatalf("the search does not notice %.40q, only %v", sample, found)
		}
	}
	look := func(where string, text []byte) {
		t.Helper()
		for _, name := range forms.find(text) {
			t.Errorf("%s shows %s", where, name)
		}
	}
	keygen := must(os.ReadFile(filepath.Join(dir, golden.MakingLog)))(t)
	if !bytes.Contains(keygen, []byte("level=DEBUG")) {
		t.Error("the log of the key generations has nothing of the debug level")
	}
	look("the log of the key generations", keygen)

	log := &debugLog{}
	n := must(testnets.Run(t.Context(), dir, testnets.RunOptions{Log: log.logger()}))(t)
	t.Cleanup(func() { check(t, n.Close()) })
	f := attach(t, n)
	signer := must(golden.InstallSigner(f, f.owner, "./testdata/signer"))(t)
	signAll(t, f, signer, "before a restart")
	check(t, n.StopReplica(2))
	check(t, n.StartReplica(f, 2))
	check(t, n.StopReplica(1))
	signAll(t, f, signer, "after a restart")
	check(t, n.StartReplica(f, 1))
	keeper := f.install(t, f.compile(t, "keeper"))
	tk := must(vetkd.NewTransportKey(rand.Reader))(t)
	transport := tk.Public()
	var o keeperOutcome
	check(t, f.owner.Agent.Update(f, keeper, "my_key", []any{transport[:]}, []any{&o}))
	if o.Code != 0 {
		t.Fatalf("%+v", o)
	}
	var replicas []*replica.Replica
	for i := range n.Nodes {
		r := n.Replica(i)
		replicas = append(replicas, r)
		look("status", must(json.Marshal(r.Status()))(t))
		for _, page := range []string{"/metrics", "/health", "/api/v2/status"} {
			look(page, []byte(get(t, n.URL(i)+page)))
		}
	}
	f.w.Close()
	check(t, n.Close())
	look("the log", log.Bytes())

	types := printAll(t, dir, replicas, look)
	for _, want := range []string{"replica.Replica", "signing.Driver", "gossip.Host", "keystore.Store", "vetkeys.Driver", "certify.Pool", "consensus.Node", "consensus.Signer", "bls.SecretShare", "bls.Member", "frost.Share", "gg18.Share"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(types)), func(t reflect.Type) bool { return t.String() == want }) {
			t.Errorf("no %s was printed", want)
		}
	}
	t.Logf("%d forms of secrets, %d bytes of logs, %d types printed", len(forms.windows), len(keygen)+len(log.Bytes()), len(types))
}

// printAll prints what can be reached from stopped replicas, and secrets as they are read from disk.
func printAll(t *testing.T, dir string, replicas []*replica.Replica, look func(string, []byte)) map[reflect.Type]bool {
	t.Helper()
	p := &printer{seen: map[reflect.Type]map[unsafe.Pointer]bool{}, types: map[reflect.Type]bool{}, visit: func(st reflect.Type, text []byte) {
		look("printing a "+st.String(), text)
	}}
	for i, r := range replicas {
		p.walk(reflect.ValueOf(r))
		node := testnets.NodeDir(dir, i)
		text := must(os.ReadFile(filepath.Join(node, "validator_key")))(t)
		seed := must(hex.DecodeString(strings.TrimSpace(string(text))))(t)
		key := ed25519.NewKeyFromSeed(seed)
		p.walk(reflect.ValueOf(must(consensus.OpenSigner(key, filepath.Join(node, "keys", "sign-state.json"), false))(t)))
		p.walk(reflect.ValueOf(&consensus.Config{NodeKey: key, ValidatorKey: key}))
		p.walk(reflect.ValueOf(bls.NewMember([32]byte(seed), i, key)))
		store := keyStore(t, dir, i)
		for _, g := range must(store.Shares())(t) {
			scheme, blob, err := store.Share(g)
			check(t, err)
			look("printing a chainkey.Secret", fmt.Appendf(nil, "%v %+v %#v %x %d %s", blob, blob, blob, blob, blob, must(json.Marshal(blob))(t)))
			switch scheme {
			case "gg18":
				p.walk(reflect.ValueOf(must((gg18.Scheme{}).DecodeShare(blob[32:]))(t)))
			case "frost":
				p.walk(reflect.ValueOf(must((frost.Scheme{}).DecodeShare(blob[32:]))(t)))
			case "bls":
				p.walk(reflect.ValueOf(&bls.SecretShare{Index: i, Scalar: [32]byte(blob)}))
			}
		}
		check(t, store.Close())
	}
	return p.types
}
