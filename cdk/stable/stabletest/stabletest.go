// Package stabletest reads stable memories that earlier versions of canisters left, for tests that later versions go on with them.
package stabletest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"testing"

	"fusion/cdk/stable"
)

// Read reads the memory in path.gz: the number of pages, then number and content of each that is not all zeros, numbers as 32 bits, little endian. want gets what the canister
// said about itself, from path.json.
func Read(t testing.TB, path string, want any) *stable.Heap {
	t.Helper()
	js, err := os.ReadFile(path + ".json")
	if err == nil {
		err = json.Unmarshal(js, want)
	}
	if err != nil {
		t.Fatalf("what the canister said, %s.json: %v", path, err)
	}
	packed, err := os.ReadFile(path + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err == nil {
		data, err = io.ReadAll(z)
	}
	const number = 4
	if err == nil && (len(data) < number || (len(data)-number)%(number+stable.PageSize) != 0) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		t.Fatalf("the memory, %s.gz: %v", path, err)
	}
	mem := &stable.Heap{}
	mem.Grow(uint64(binary.LittleEndian.Uint32(data)))
	for data = data[number:]; len(data) > 0; data = data[number+stable.PageSize:] {
		mem.Write(uint64(binary.LittleEndian.Uint32(data))*stable.PageSize, data[number:number+stable.PageSize])
	}
	return mem
}
