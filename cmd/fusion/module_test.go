package main

import (
	"os"
	"path/filepath"
	"testing"

	"fusion/ic/candid"
	"fusion/internal/wasmbin"
)

// Where the arguments of a constructor come from: the interface itself, or the section beside it.
func TestReadModule(t *testing.T) {
	const plain = "type T = record { nat }; service : { get : () -> (T) query }"
	for _, c := range []struct {
		customs []wasmbin.Custom
		init    string // the constructor's arguments; "" where there is no constructor
		keeps   bool
	}{
		{[]wasmbin.Custom{{Name: "icp:public candid:service", Data: []byte("service : (text) -> {}")}, {Name: "icp:public candid:args", Data: []byte("(nat)")}}, "(text)", false},
		{[]wasmbin.Custom{{Name: "icp:private candid:service", Data: []byte(plain)}, {Name: "icp:private candid:args", Data: []byte("(opt nat64, T)")}}, "(opt nat64, record { nat })", false},
		{[]wasmbin.Custom{{Name: "icp:private enhanced-orthogonal-persistence"}, {Name: "icp:public candid:args", Data: []byte("()")}, {Name: "icp:public candid:service", Data: []byte(plain)}}, "()", true},
		{[]wasmbin.Custom{{Name: "icp:public candid:service", Data: []byte(plain)}, {Name: "icp:public candid:args", Data: []byte("(Unknown)")}}, "", false},
		{[]wasmbin.Custom{{Name: "candid:service", Data: []byte(plain)}, {Name: "enhanced-orthogonal-persistence"}}, "", false},
	} {
		file := filepath.Join(t.TempDir(), "m.wasm")
		if err := os.WriteFile(file, (&wasmbin.Module{Customs: c.customs}).Encode(), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := readModule(file)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if m.program != nil && m.program.HasInit {
			got = candid.FormatTypes(m.program.Init)
		}
		if got != c.init || m.keepsHeap != c.keeps {
			t.Errorf("%q: constructor %q, keeps its heap %v; want %q, %v", c.customs, got, m.keepsHeap, c.init, c.keeps)
		}
	}
}
